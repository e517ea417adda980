// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "snapshot/key.h"
#include "store/base/mutex.h"

namespace varve {

/// How often the kernel was given each inode and has not forgotten it yet, and which of these
/// inodes have lost their last name meanwhile. Counts are added under the head's gate, so that an
/// unlink there sees them; forget needs no gate. Sharded; safe to share between threads.
class Lookups {
 public:
  /// `resumed`: an earlier process gave out lookups that are unknown here, so every inode counts as
  /// in use until it is forgotten.
  explicit Lookups(bool resumed);

  void add(Ino ino);
  /// Takes `count` back, stops at zero. True if the inode is not in use any more and had been
  /// marked as an orphan: the caller frees it.
  [[nodiscard]] bool forget(Ino ino, std::uint64_t count);
  /// True if the inode must live on when it loses its last name.
  bool in_use(Ino ino) const;
  /// True if lookups of this inode are counted, or it was marked as an orphan and not forgotten
  /// since: an orphan that is not held can be freed.
  bool holds(Ino ino) const;
  /// The inode has lost its last name. False if nothing uses it any more: the caller frees it.
  [[nodiscard]] bool mark_orphan(Ino ino);
  /// The inode has a name again.
  void unmark_orphan(Ino ino);
  /// Forgets all, resumed lookups too: nothing is in use.
  void clear();
  /// Inodes with lookups.
  std::size_t size() const;

 private:
  struct Entry {
    std::uint64_t count = 0;
    bool orphan = false;
  };
  struct alignas(64) Shard {
    mutable Mutex mutex;
    std::unordered_map<std::uint64_t, Entry> entries GUARDED_BY(mutex);
    bool resumed GUARDED_BY(mutex) = false;
  };
  static constexpr std::size_t kShards = 16;

  Shard& shard_of(Ino ino) { return shards_[to_integer(ino) % kShards]; }
  const Shard& shard_of(Ino ino) const { return shards_[to_integer(ino) % kShards]; }

  std::array<Shard, kShards> shards_;
};

}  // namespace varve
