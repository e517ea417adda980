// SPDX-License-Identifier: Apache-2.0
// Inodes without a name: kept while they are in use, freed at once or in steps.
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "fs/attached_volume.h"
#include "fs/inodes.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// Calls `visit` for each orphan until it returns false.
void scan_orphans(Transaction& transaction, const std::function<bool(Ino)>& visit) {
  transaction.scan({kHeadIno, Kind::kOrphan, 0}, {kHeadIno, Kind::kInode, 0},
                   [&](const Key& key, ByteView) { return visit(Ino{key.sub}); });
}

/// Frees the orphan, or the next regions of a big one; true if nothing is left of it.
bool free_some(Transaction& transaction, Ino ino) {
  const std::optional<InodeRecord> inode = transaction.find_inode(ino);
  if (!inode) {
    transaction.erase(orphan_key(ino));
    return true;
  }
  std::vector<Key> keys = transaction.region_keys(ino, AttachedVolume::kFreeRegions + 1);
  if (keys.size() <= AttachedVolume::kFreeRegions) {
    transaction.free_inode(ino, *inode);
    transaction.erase(orphan_key(ino));
    return true;
  }
  keys.pop_back();
  for (const Key& key : keys) transaction.erase(key);
  transaction.drop_data(ino);
  return false;
}

}  // namespace

AttachedVolume::Retired AttachedVolume::drop_link(Transaction& transaction, Ino ino,
                                                  InodeRecord& inode, const Place& place,
                                                  const Time& now) {
  if (S_ISDIR(inode.mode)) {
    inode.nlink = 0;  // its parent stays, for ".."
  } else {
    remove_place(transaction, ino, inode, place);
    --inode.nlink;
  }
  inode.ctime = now;
  if (inode.nlink > 0) {
    transaction.set_inode(ino, inode);
    return {ino, false};
  }
  const bool kept =
      lookups_.in_use(ino) || transaction.region_keys(ino, kFreeRegions + 1).size() > kFreeRegions;
  if (kept) {
    transaction.set_inode(ino, inode);
    transaction.set(orphan_key(ino), {});
  } else {
    transaction.free_inode(ino, inode);
  }
  return {ino, kept};
}

void AttachedVolume::after_retire(const Retired& retired) {
  if (retired.kept && !lookups_.mark_orphan(retired.ino)) orphans_left_ = true;
}

void AttachedVolume::hold_orphans() {
  view([&](Transaction& transaction) {
    scan_orphans(transaction, [&](Ino ino) {
      // Resumed lookups hold every inode.
      VARVE_CHECK(lookups_.mark_orphan(ino));
      return true;
    });
  });
}

void AttachedVolume::rolled_back() {
  view([&](Transaction& transaction) {
    scan_orphans(transaction, [&](Ino ino) {
      if (lookups_.holds(ino)) static_cast<void>(lookups_.mark_orphan(ino));
      return true;
    });
  });
  orphans_left_ = !head_.read_only();
}

void AttachedVolume::forget(Ino ino, std::uint64_t count) {
  if (lookups_.forget(ino, count)) free_orphan(ino);
}

void AttachedVolume::free_orphan(Ino ino) {
  if (head_.read_only()) return;
  try {
    const bool done = change([&](Transaction& transaction) {
      if (!transaction.find(orphan_key(ino))) return true;
      // Given out again meanwhile (a removed directory's "."): the next forget frees it.
      if (lookups_.holds(ino) && lookups_.mark_orphan(ino)) return true;
      return free_some(transaction, ino);
    });
    if (!done) orphans_left_ = true;
  } catch (const Error& error) {
    orphans_left_ = true;
    log_warn("fs", "inode " + std::to_string(to_integer(ino)) +
                       " could not be freed and is left to the background: " + error.what());
  }
}

bool AttachedVolume::free_orphans_step() {
  if (head_.read_only() || !orphans_left_) return false;
  return change([&](Transaction& transaction) {
    std::optional<Ino> free;
    scan_orphans(transaction, [&](Ino ino) {
      if (!lookups_.holds(ino)) free = ino;
      return !free;
    });
    if (free) {
      free_some(transaction, *free);
    } else {
      orphans_left_ = false;
    }
    return free.has_value();
  });
}

void AttachedVolume::drop_lookups() {
  lookups_.clear();
  orphans_left_ = true;
}

}  // namespace varve
