// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/named_work.h"

#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

bool is_done(const std::shared_future<void>& task) {
  return task.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

NamedWork::Task NamedWork::start_or_find(const std::string& name, const std::function<void()>& work,
                                         bool& started) {
  const MutexLock lock(mutex_);
  const auto running = tasks_.find(name);
  started = running == tasks_.end() || is_done(running->second);
  if (!started) return running->second;
  Task task = std::async(std::launch::async, work).share();
  tasks_[name] = task;
  return task;
}

void NamedWork::forget_if_done(const std::string& name) {
  const MutexLock lock(mutex_);
  const auto task = tasks_.find(name);
  if (task != tasks_.end() && is_done(task->second)) tasks_.erase(task);
}

void NamedWork::run(const std::string& name, const std::string& what, std::function<void()> work) {
  const auto give_up = std::chrono::steady_clock::now() + limit_;
  for (bool started = false;;) {
    const Task task = start_or_find(name, work, started);
    if (task.wait_until(give_up) != std::future_status::ready)
      throw UserError(EBUSY, "volume " + name + " is still being " +
                                 (started ? what : "worked on for an earlier call") +
                                 "; try again");
    forget_if_done(name);
    if (started) return task.get();
  }
}

}  // namespace varve
