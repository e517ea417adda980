// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "store/base/mutex.h"

namespace varve {

/// When a container was last seen with a volume that an engine had mounted for it. What was seen
/// and is no more has gone; what was never seen may be about to start. Looks are made after half a
/// second, then after twice as long each, up to 32 seconds, until one succeeds: each reads the
/// mount tables of all processes.
///
/// Times are milliseconds since the boot. Safe to share between threads.
class Sightings {
 public:
  using Look = std::function<bool(const std::string& volume)>;

  /// An engine has mounted the volume now: somebody will be seen with it.
  void expect(const std::string& volume, std::int64_t now_ms);
  /// Makes the looks that are due. `look` says whether a container has the volume.
  void make(const Look& look, std::int64_t now_ms);
  /// Somebody was seen with the volume at that time.
  void note(const std::string& volume, std::int64_t now_ms);
  /// Of the last time; -1: never.
  std::int64_t seen_ms(const std::string& volume) const;
  void forget(const std::string& volume);

 private:
  struct Pending {
    std::int64_t next_ms = 0;
    std::int64_t wait_ms = 0;
  };

  mutable Mutex mutex_;
  std::map<std::string, Pending> pending_ GUARDED_BY(mutex_);
  std::map<std::string, std::int64_t> seen_ms_ GUARDED_BY(mutex_);
};

}  // namespace varve
