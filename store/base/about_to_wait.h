// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace varve {

/// Told by a thread that it is about to wait: for a disk, for a condition, or for work of its own
/// that takes long. Whoever has given the thread its work may bring in another one for what comes
/// next. A thread has one at most; the layers below do not know whose it is.
class WaitListener {
 public:
  /// Called in the thread that waits, perhaps with locks held: it may take a lock of its own that
  /// is inside all others, and must be quick. True if the thread may take its time from now on.
  virtual bool about_to_wait() noexcept = 0;

 protected:
  ~WaitListener() = default;
};

/// The calling thread's listener from now on; null for none.
void listen_to_waits(WaitListener* listener) noexcept;

/// Tells the calling thread's listener. False if there is none, or if it cannot help. Costs a
/// comparison in threads without one, and in those that have told it already about the same work.
bool about_to_wait() noexcept;

}  // namespace varve
