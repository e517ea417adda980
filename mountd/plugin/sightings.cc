// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/sightings.h"

#include <vector>

namespace varve {
namespace {

constexpr std::int64_t kFirstLookMs = 500;
constexpr std::int64_t kLastLookMs = 32'000;

}  // namespace

void Sightings::expect(const std::string& volume, std::int64_t now_ms) {
  const MutexLock lock(mutex_);
  pending_.insert_or_assign(volume, Pending{now_ms + kFirstLookMs, kFirstLookMs});
}

void Sightings::make(const Look& look, std::int64_t now_ms) {
  std::vector<std::string> due;
  {
    const MutexLock lock(mutex_);
    for (auto entry = pending_.begin(); entry != pending_.end();) {
      Pending& pending = entry->second;
      const bool is_due = pending.next_ms <= now_ms;
      if (is_due) due.push_back(entry->first);
      if (is_due && pending.wait_ms >= kLastLookMs) {
        entry = pending_.erase(entry);
        continue;
      }
      if (is_due) pending.next_ms = now_ms + (pending.wait_ms *= 2);
      ++entry;
    }
  }
  for (const std::string& volume : due)
    if (look(volume)) note(volume, now_ms);
}

void Sightings::note(const std::string& volume, std::int64_t now_ms) {
  const MutexLock lock(mutex_);
  seen_ms_.insert_or_assign(volume, now_ms);
  pending_.erase(volume);
}

std::int64_t Sightings::seen_ms(const std::string& volume) const {
  const MutexLock lock(mutex_);
  const auto entry = seen_ms_.find(volume);
  return entry == seen_ms_.end() ? -1 : entry->second;
}

void Sightings::forget(const std::string& volume) {
  const MutexLock lock(mutex_);
  pending_.erase(volume);
  seen_ms_.erase(volume);
}

}  // namespace varve
