// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <string>

#include "store/base/mutex.h"

namespace varve {

/// Runs one piece of work for a name at a time, and keeps nobody waiting for long: engines give a
/// call of a plugin only seconds. Safe to share between threads; its end waits for what still runs.
class NamedWork {
 public:
  explicit NamedWork(std::chrono::milliseconds limit) : limit_(limit) {}

  /// Runs `work` in a thread of its own after what runs for `name` already, and throws what it
  /// throws. UserError(EBUSY) when the time limit passes: "NAME is still being WHAT; try again".
  /// Work that has begun goes on then; `work` must own what it refers to.
  void run(const std::string& name, const std::string& what, std::function<void()> work);

 private:
  using Task = std::shared_future<void>;

  /// The task of `work`, or of what runs for `name` before it.
  Task start_or_find(const std::string& name, const std::function<void()>& work, bool& started);
  void forget_if_done(const std::string& name);

  const std::chrono::milliseconds limit_;
  Mutex mutex_;
  std::map<std::string, Task> tasks_ GUARDED_BY(mutex_);
};

}  // namespace varve
