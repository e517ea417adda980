// SPDX-License-Identifier: Apache-2.0
#include "mountd/trash_purge.h"

#include <algorithm>
#include <string>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

constexpr std::int64_t kLongestPauseSeconds = 60;

std::int64_t seconds_since_epoch() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace

void TrashPurge::tick() {
  if (after_seconds_ == 0 || Clock::now() < next_look_) return;
  next_look_ = Clock::now() + std::chrono::seconds(std::min(after_seconds_, kLongestPauseSeconds));
  const std::int64_t before = seconds_since_epoch() - after_seconds_;
  try {
    const std::size_t count =
        repository_.purge_trash(std::max<std::int64_t>(before, 0) * 1'000'000'000);
    if (count != 0)
      log_info("trash", std::to_string(count) + " volume(s) removed for good after " +
                            std::to_string(after_seconds_) + " s in the trash");
  } catch (const Error& error) {
    log_error("trash", std::string("purge: ") + error.what());
  }
}

}  // namespace varve
