// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_brief_wait.h"

#include <algorithm>

namespace varve {

bool FuseBriefWait::wait(const std::function<bool()>& is_there,
                         const std::function<Clock::time_point()>& now) {
  if (!enabled_) return false;
  if (skips_ > 0) {
    --skips_;
    return false;
  }
  const Clock::time_point until = now() + kLongest;
  do {
    if (is_there()) {
      next_skips_ = 1;
      return true;
    }
  } while (now() < until);
  skips_ = next_skips_;
  next_skips_ = std::min(next_skips_ * 2, kMaxSkips);
  return false;
}

}  // namespace varve
