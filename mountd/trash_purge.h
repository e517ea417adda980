// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "fs/repository.h"

namespace varve {

/// Removes volumes for good that have been in the trash for long enough. For one thread.
class TrashPurge {
 public:
  /// `after_seconds` 0: never. `repository` must outlive this.
  TrashPurge(Repository& repository, std::int64_t after_seconds)
      : repository_(repository), after_seconds_(after_seconds) {}

  /// Looks, if the last look was long enough ago: up to a minute. Logs what it removed, and what it
  /// could not.
  void tick();

 private:
  using Clock = std::chrono::steady_clock;

  Repository& repository_;
  const std::int64_t after_seconds_;
  Clock::time_point next_look_{};
};

}  // namespace varve
