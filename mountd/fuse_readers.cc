// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_readers.h"

#include <pthread.h>

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>

#include "mountd/fuse_slow_calls.h"
#include "store/base/log.h"

namespace varve {

/// One thread's part: whether it leads. Nobody else touches it.
class FuseReaders::Reader final : public WaitListener {
 public:
  explicit Reader(FuseReaders& readers) : readers_(readers) {}

  /// Reads and answers while the lead is this thread's. False when there are no more requests.
  bool lead(Turn& turn) {
    leads_ = true;
    do {
      if (!turn.receive()) return false;
      const Answering now(*this);
      if (!turn.answer()) return false;
    } while (leads_);
    return true;
  }

  bool about_to_wait() noexcept override {
    if (!leads_) return true;
    leads_ = false;
    return readers_.give_lead_away();
  }

 private:
  /// The thread listens to its waits while it answers.
  class Answering {
   public:
    explicit Answering(Reader& reader) noexcept { listen_to_waits(&reader); }
    ~Answering() { listen_to_waits(nullptr); }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;
  };

  FuseReaders& readers_;
  bool leads_ = false;
};

FuseReaders::FuseReaders(unsigned max_threads) : max_threads_(std::max(2u, max_threads)) {}

FuseReaders::~FuseReaders() = default;

void FuseReaders::run(const MakeTurn& make_turn) {
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    while (!ended_) {
      // The lead is free and nobody is there to take it: all who are, answer.
      if (!led_ && parked_ == 0 && more_threads_ && threads_.size() < max_threads_)
        start_thread(make_turn);
      wanted_.wait(mutex_);
    }
    threads.swap(threads_);
  }
  // Only the one that waits for a request feels it; the others see `ended_`.
  for (std::thread& thread : threads) ::pthread_cancel(thread.native_handle());
  for (std::thread& thread : threads) thread.join();
}

void FuseReaders::start_thread(const MakeTurn& make_turn) {
  try {
    threads_.push_back(start_quiet_thread("fuse-reader", [this, &make_turn] {
      pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
      work(make_turn);
    }));
  } catch (const std::system_error& error) {
    more_threads_ = false;
    if (!threads_.empty()) return;  // those there are serve on
    log_error("fuse", std::string("no thread can be started: ") + error.what());
    ended_ = true;
  }
}

void FuseReaders::work(const MakeTurn& make_turn) {
  const std::unique_ptr<Turn> turn = make_turn();
  Reader reader(*this);
  while (take_lead())
    if (!reader.lead(*turn)) return stop();
}

bool FuseReaders::take_lead() {
  const MutexLock lock(mutex_);
  while (led_ && !ended_) {
    ++parked_;
    lead_free_.wait(mutex_);
    --parked_;
  }
  led_ = true;
  return !ended_;
}

/// Even when nobody can take the lead now: the first thread that has answered does.
bool FuseReaders::give_lead_away() {
  const MutexLock lock(mutex_);
  led_ = false;
  if (parked_ > 0) {
    lead_free_.notify_one();
    return true;
  }
  if (!more_threads_ || threads_.size() >= max_threads_) return false;
  wanted_.notify_one();
  return true;
}

void FuseReaders::stop() {
  const MutexLock lock(mutex_);
  ended_ = true;
  lead_free_.notify_all();
  wanted_.notify_one();
}

std::size_t FuseReaders::threads() const {
  const MutexLock lock(mutex_);
  return threads_.size();
}

}  // namespace varve
