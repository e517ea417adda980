// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "store/base/mutex.h"

namespace varve {

/// Threads for requests that may wait long (fsync, writes that are held back), so that the threads
/// that read /dev/fuse never do. Threads start when they are needed, up to the limit, and stay.
/// What waits beyond them is bounded by the callers: each waits for its answer.
///
/// Safe to share between threads.
class FuseSlowCalls {
 public:
  explicit FuseSlowCalls(unsigned max_threads);
  ~FuseSlowCalls() { finish(); }
  FuseSlowCalls(const FuseSlowCalls&) = delete;
  FuseSlowCalls& operator=(const FuseSlowCalls&) = delete;

  /// Runs `call`, which must not throw, in one of the threads; in the calling thread if none can be
  /// started or finish() was called.
  void run(std::function<void()> call);
  /// Calls that no thread has taken yet.
  std::size_t waiting() const;
  /// Returns when every call has run and the threads have ended.
  void finish();

 private:
  void work();
  bool start_thread() REQUIRES(mutex_);

  const unsigned max_threads_;
  mutable Mutex mutex_;
  CondVar arrived_;
  std::deque<std::function<void()>> calls_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
  std::size_t idle_ GUARDED_BY(mutex_) = 0;
  bool finishing_ GUARDED_BY(mutex_) = false;
};

/// Starts a thread named `name` that takes no signals, so that they reach the program's own.
std::thread start_quiet_thread(const char* name, std::function<void()> body);

}  // namespace varve
