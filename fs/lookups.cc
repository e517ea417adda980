// SPDX-License-Identifier: Apache-2.0
#include "fs/lookups.h"

#include <algorithm>

namespace varve {

Lookups::Lookups(bool resumed) {
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    shard.resumed = resumed;
  }
}

void Lookups::add(Ino ino) {
  Shard& shard = shard_of(ino);
  const MutexLock lock(shard.mutex);
  ++shard.entries[to_integer(ino)].count;
}

bool Lookups::forget(Ino ino, std::uint64_t count) {
  Shard& shard = shard_of(ino);
  const MutexLock lock(shard.mutex);
  const auto found = shard.entries.find(to_integer(ino));
  if (found == shard.entries.end()) return false;
  Entry& entry = found->second;
  entry.count -= std::min(count, entry.count);
  if (entry.count > 0) return false;
  const bool orphan = entry.orphan;
  shard.entries.erase(found);
  return orphan;
}

bool Lookups::in_use(Ino ino) const {
  const Shard& shard = shard_of(ino);
  const MutexLock lock(shard.mutex);
  return shard.resumed || shard.entries.contains(to_integer(ino));
}

bool Lookups::holds(Ino ino) const {
  const Shard& shard = shard_of(ino);
  const MutexLock lock(shard.mutex);
  return shard.entries.contains(to_integer(ino));
}

bool Lookups::mark_orphan(Ino ino) {
  Shard& shard = shard_of(ino);
  const MutexLock lock(shard.mutex);
  const auto found = shard.entries.find(to_integer(ino));
  if (found != shard.entries.end()) {
    found->second.orphan = true;
    return true;
  }
  if (!shard.resumed) return false;
  shard.entries[to_integer(ino)].orphan = true;
  return true;
}

void Lookups::unmark_orphan(Ino ino) {
  Shard& shard = shard_of(ino);
  const MutexLock lock(shard.mutex);
  const auto found = shard.entries.find(to_integer(ino));
  if (found == shard.entries.end()) return;
  found->second.orphan = false;
  if (found->second.count == 0) shard.entries.erase(found);
}

void Lookups::clear() {
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    shard.entries.clear();
    shard.resumed = false;
  }
}

std::size_t Lookups::size() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    total += shard.entries.size();
  }
  return total;
}

}  // namespace varve
