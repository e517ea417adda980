// SPDX-License-Identifier: Apache-2.0
#include "store/base/background.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

namespace varve {
namespace {

constexpr int kNice = 5;

}  // namespace

void work_in_background() noexcept {
  const sched_param parameters{};
  ::sched_setscheduler(0, SCHED_BATCH, &parameters);
  // On Linux the nice value is the thread's.
  const auto thread = static_cast<id_t>(::gettid());
  errno = 0;
  const int now = ::getpriority(PRIO_PROCESS, thread);
  if (errno == 0 && now < kNice) ::setpriority(PRIO_PROCESS, thread, kNice);
}

}  // namespace varve
