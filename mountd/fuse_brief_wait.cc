// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_brief_wait.h"

#include <algorithm>

namespace varve {

bool FuseBriefWait::wait(const std::function<bool()>& is_there,
                         const std::function<Clock::time_point()>& now) {
  if (!enabled_) return false;
  if (credit_ == 0 && ++skipped_ < kProbe) return false;
  skipped_ = 0;
  const Clock::time_point until = now() + kLongest;
  do {
    if (is_there()) {
      credit_ = std::min(credit_ + 1, kMaxCredit);
      return true;
    }
  } while (now() < until);
  credit_ -= std::min(credit_, kPriceOfFailure);
  return false;
}

}  // namespace varve
