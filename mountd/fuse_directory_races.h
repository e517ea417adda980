// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "snapshot/key.h"
#include "store/base/mutex.h"

namespace varve {

/// Finds directories whose attributes the kernel may have cached from before a change of theirs.
///
/// The kernel forgets a directory's attributes when a change in it has been answered, but a reply
/// with older attributes that another thread of the kernel has not looked at yet then counts as
/// fresh, for ever with infinite timeouts (fuse_dir_changed() takes no new attribute version). A
/// notification about the inode does take one. So whoever changes a directory about which another
/// thread was told lately has to send one: see changed().
///
/// Directories share slots by hash: at worst a notification too many. Safe to share between
/// threads.
class FuseDirectoryRaces {
 public:
  using Clock = std::chrono::steady_clock;
  /// A reply is looked at by the kernel within this time.
  static constexpr std::chrono::seconds kLately{2};

  /// Thread `tid` is going to be told `directory`'s attributes. Call before they are read.
  void tell(Ino directory, std::uint32_t tid, Clock::time_point now = Clock::now());

  /// An earlier process may have told anybody anything lately.
  void tell_all(Clock::time_point now = Clock::now());

  /// Thread `tid` has changed `directory`. True if another thread was told lately: then the
  /// kernel must be notified.
  bool changed(Ino directory, std::uint32_t tid, Clock::time_point now = Clock::now());

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kSlots = 256;
  struct Slot {
    Clock::time_point until{};  ///< told lately until then
    std::uint32_t tid = 0;
    bool several = false;  ///< threads
  };
  struct Shard {
    Mutex mutex;
    std::array<Slot, kSlots> slots GUARDED_BY(mutex);
  };
  Shard& shard_of(Ino ino) { return shards_[to_integer(ino) % kShards]; }
  static std::size_t slot_of(Ino ino) { return to_integer(ino) / kShards % kSlots; }

  std::array<Shard, kShards> shards_;
};

}  // namespace varve
