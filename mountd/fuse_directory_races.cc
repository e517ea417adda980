// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_directory_races.h"

namespace varve {

void FuseDirectoryRaces::tell(Ino directory, std::uint32_t tid, Clock::time_point now) {
  Shard& shard = shard_of(directory);
  const MutexLock lock(shard.mutex);
  Slot& slot = shard.slots[slot_of(directory)];
  const bool live = now < slot.until;
  slot.several = live && (slot.several || slot.tid != tid);
  slot.tid = tid;
  slot.until = now + kLately;
}

void FuseDirectoryRaces::tell_all(Clock::time_point now) {
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    shard.slots.fill({now + kLately, 0, true});
  }
}

bool FuseDirectoryRaces::changed(Ino directory, std::uint32_t tid, Clock::time_point now) {
  Shard& shard = shard_of(directory);
  const MutexLock lock(shard.mutex);
  const Slot& slot = shard.slots[slot_of(directory)];
  return now < slot.until && (slot.several || slot.tid != tid);
}

}  // namespace varve
