// SPDX-License-Identifier: Apache-2.0
#include "store/read_pins.h"

#include <algorithm>

namespace varve {

struct ReadPins::State {
  Mutex mutex;
  Csn current GUARDED_BY(mutex) = 0;
  std::multiset<Csn> pinned GUARDED_BY(mutex);
};

class ReadPins::Pin final : public ReadPin {
 public:
  Pin(std::shared_ptr<State> state, Csn csn) : state_(std::move(state)), csn_(csn) {}
  ~Pin() override {
    const MutexLock lock(state_->mutex);
    state_->pinned.erase(state_->pinned.find(csn_));
  }
  Csn csn() const override { return csn_; }

 private:
  const std::shared_ptr<State> state_;
  const Csn csn_;
};

ReadPins::ReadPins() : state_(std::make_shared<State>()) {}
ReadPins::~ReadPins() = default;

void ReadPins::advance(Csn csn) {
  const MutexLock lock(state_->mutex);
  state_->current = std::max(state_->current, csn);
}

Csn ReadPins::current() const {
  const MutexLock lock(state_->mutex);
  return state_->current;
}

std::unique_ptr<ReadPin> ReadPins::pin() {
  // Read and registered under one lock: a reclaim in between would free what the pin is to keep.
  const MutexLock lock(state_->mutex);
  auto pin = std::make_unique<Pin>(state_, state_->current);
  state_->pinned.insert(state_->current);
  return pin;
}

std::unique_ptr<ReadPin> ReadPins::pin_at(Csn csn) {
  const MutexLock lock(state_->mutex);
  const Csn at = std::min(csn, state_->current);
  auto pin = std::make_unique<Pin>(state_, at);
  state_->pinned.insert(at);
  return pin;
}

Csn ReadPins::horizon() const {
  const MutexLock lock(state_->mutex);
  const Csn oldest =
      state_->pinned.empty() ? state_->current : std::min(*state_->pinned.begin(), state_->current);
  return oldest + 1;
}

}  // namespace varve
