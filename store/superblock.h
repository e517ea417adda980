// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/disk.h"
#include "store/journal.h"
#include "store/location.h"
#include "store/store.h"

namespace varve {

/// What a store must know before it can read its journal. A value.
struct Superblock {
  static constexpr std::size_t kBytes = 4096;

  std::uint64_t sequence = 0;  ///< one more at each write; the newest whole slot wins
  StoreId id{};
  Csn csn = 0;  ///< of the last commit when it was written
  Bytes root;   ///< of that commit; at most Store::kMaxRootBytes
  /// Where a scan of the journal begins: a record's begin, or where the next will be if `clean`.
  Lsn journal_start_lsn = 0;
  /// Known to be durable when it was written: a scan must come this far.
  Lsn durable_lsn = 0;
  Lsn replay_from = 0;  ///< of that commit
  std::uint64_t journal_file_bytes = 0;
  std::uint32_t journal_epoch = 0;  ///< of the writer that has, or last had, the store
  bool clean = false;               ///< closed in order: the journal holds nothing

  /// One slot, checksum included. docs/format.md draws the bytes.
  Bytes encode() const;
  /// Empty unless `slot` is whole and all its fields are possible.
  static std::optional<Superblock> decode(ByteView slot);
};

/// The higher sequence of the slots at `path` that are whole, of whatever store; empty if none is.
/// A store that was never opened has 1.
std::optional<std::uint64_t> last_superblock_sequence(Disk& disk, const std::string& path);

/// The file with two slots that are written in turn, so that a power cut in a write leaves the one
/// before it. Not safe to share between threads.
class SuperblockFile {
 public:
  /// Makes the file with `first` in both slots; durable on return.
  static void create(Disk& disk, const std::string& path, const Superblock& first);
  /// Reads both slots. Throws CorruptionError if neither is whole or of store `id`.
  SuperblockFile(Disk& disk, const std::string& path, const StoreId& id);

  const Superblock& current() const { return current_; }
  /// True if the slot that was not taken is the one written just before: nobody has written a later
  /// one that was lost.
  bool is_latest() const { return is_latest_; }
  /// Reads both slots back; the numbers of those that are not whole. One of a crashed write counts.
  std::vector<std::uint32_t> damaged_slots() const;
  /// Writes `next` with the next sequence number into the other slot and flushes it. The first call
  /// flushes what it found as well, before it overwrites anything. After a throw the file must not
  /// be written again (a failed sync is not retried).
  void write(Superblock next);
  /// Flushes of the device by write().
  std::uint64_t flushes() const { return flushes_; }

 private:
  std::unique_ptr<File> file_;
  Superblock current_;
  std::uint32_t current_slot_ = 0;
  bool is_latest_ = false;
  bool current_is_durable_ = false;  ///< a killed process may have left it in the page cache
  std::uint64_t flushes_ = 0;
};

}  // namespace varve
