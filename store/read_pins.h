// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>

#include "store/base/mutex.h"
#include "store/store.h"

namespace varve {

/// The registry of ReadPins of one store, with the csn of the last published commit. Pins keep the
/// registry's state alive, so they may outlive the store. Safe to share between threads.
class ReadPins {
 public:
  ReadPins();
  ~ReadPins();

  /// Says that the commit `csn` is published; never goes back.
  void advance(Csn csn);
  Csn current() const;

  /// A pin at the last published commit.
  std::unique_ptr<ReadPin> pin();
  /// A pin at `csn`, which may be earlier; objects that were freed before stay freed.
  std::unique_ptr<ReadPin> pin_at(Csn csn);

  /// Objects that died in a commit before this one are needed by no pin and no later pin().
  Csn horizon() const;

 private:
  struct State;
  class Pin;
  std::shared_ptr<State> state_;
};

}  // namespace varve
