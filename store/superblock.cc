// SPDX-License-Identifier: Apache-2.0
#include "store/superblock.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/checksum.h"
#include "store/journal_format.h"

namespace varve {

namespace {

constexpr std::string_view kMagic = "VARVESUP";
constexpr std::uint32_t kSuperblockVersion = 1;
constexpr std::uint32_t kFlagClean = 1;
constexpr std::size_t kSlots = 2;

std::optional<Superblock> read_slot(const File& file, std::size_t slot) {
  Bytes bytes(Superblock::kBytes);
  if (file.read_at(slot * Superblock::kBytes, bytes) != bytes.size()) return std::nullopt;
  return Superblock::decode(bytes);
}

constexpr const char* kRemedy =
    "; put back the file from a copy of this directory, or make a new store and bring its "
    "volumes back from a backup";

/// A store has its superblock from the moment that it has its FORMAT: one without has lost it.
std::unique_ptr<File> open_existing(Disk& disk, const std::string& path) {
  try {
    return disk.open(path, Disk::Mode::kReadWrite);
  } catch (const Error& error) {
    if (error.code() != ENOENT) throw;
    throw CorruptionError(path + ": the superblock is missing" + kRemedy);
  }
}

/// No store comes so far; sums of positions below it do not overflow.
constexpr std::uint64_t kMaxPosition = 1ull << 62;
/// A file of the journal is written with zeros before its use: a forged size must not fill a disk.
constexpr std::uint64_t kMaxJournalFileBytes = 1ull << 30;

bool possible(const Superblock& block) {
  return block.durable_lsn <= kMaxPosition && block.replay_from <= kMaxPosition &&
         block.csn <= kMaxPosition && block.sequence <= kMaxPosition &&
         block.journal_file_bytes <= kMaxJournalFileBytes &&
         block.root.size() <= Store::kMaxRootBytes &&
         block.journal_file_bytes >= kJournalFileBytesMin &&
         block.journal_file_bytes % kJournalBlockBytes == 0 &&
         block.journal_start_lsn <= block.durable_lsn && block.sequence > 0;
}

}  // namespace

Bytes Superblock::encode() const {
  VARVE_CHECK(possible(*this));
  Bytes out;
  ByteWriter writer(out);
  writer.u64(0);
  writer.raw(as_bytes(kMagic));
  writer.u32(kSuperblockVersion);
  writer.u32(clean ? kFlagClean : 0);
  writer.raw(id);
  writer.u64(sequence);
  writer.u64(csn);
  writer.u64(journal_start_lsn);
  writer.u64(durable_lsn);
  writer.u64(replay_from);
  writer.u64(journal_file_bytes);
  writer.u32(journal_epoch);
  writer.u32(static_cast<std::uint32_t>(root.size()));
  writer.raw(root);
  out.resize(kBytes);
  const std::uint64_t checksum = checksum_of(ByteView(out).subspan(8));
  std::memcpy(out.data(), &checksum, sizeof checksum);
  return out;
}

std::optional<Superblock> Superblock::decode(ByteView slot) {
  if (slot.size() != kBytes) return std::nullopt;
  ByteReader reader(slot, "superblock");
  if (reader.u64() != checksum_of(slot.subspan(8))) return std::nullopt;
  if (as_text(reader.raw(kMagic.size())) != kMagic || reader.u32() != kSuperblockVersion)
    return std::nullopt;
  const std::uint32_t flags = reader.u32();
  if ((flags & ~kFlagClean) != 0) return std::nullopt;
  Superblock out;
  out.clean = (flags & kFlagClean) != 0;
  const ByteView id = reader.raw(out.id.size());
  std::copy(id.begin(), id.end(), out.id.begin());
  out.sequence = reader.u64();
  out.csn = reader.u64();
  out.journal_start_lsn = reader.u64();
  out.durable_lsn = reader.u64();
  out.replay_from = reader.u64();
  out.journal_file_bytes = reader.u64();
  out.journal_epoch = reader.u32();
  const std::uint32_t root_bytes = reader.u32();
  if (root_bytes > Store::kMaxRootBytes) return std::nullopt;
  const ByteView root = reader.raw(root_bytes);
  out.root.assign(root.begin(), root.end());
  if (!possible(out)) return std::nullopt;
  return out;
}

std::optional<std::uint64_t> last_superblock_sequence(Disk& disk, const std::string& path) {
  const std::unique_ptr<File> file = disk.open(path, Disk::Mode::kReadOnly);
  std::optional<std::uint64_t> out;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    const std::optional<Superblock> block = read_slot(*file, slot);
    if (block) out = std::max(out.value_or(0), block->sequence);
  }
  return out;
}

void SuperblockFile::create(Disk& disk, const std::string& path, const Superblock& first) {
  Bytes both;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    const Bytes bytes = first.encode();
    both.insert(both.end(), bytes.begin(), bytes.end());
  }
  disk.replace_file(path, both);
}

SuperblockFile::SuperblockFile(Disk& disk, const std::string& path, const StoreId& id)
    : file_(open_existing(disk, path)) {
  bool found = false;
  std::size_t whole = 0;
  std::uint64_t sum = 0;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    std::optional<Superblock> block = read_slot(*file_, slot);
    if (!block || block->id != id) continue;
    ++whole;
    sum += block->sequence;
    if (found && block->sequence <= current_.sequence) continue;
    found = true;
    current_ = *std::move(block);
    current_slot_ = slot;
  }
  if (!found) {
    throw CorruptionError(
        path + ": both superblocks are damaged or of another store than FORMAT says" + kRemedy);
  }
  // Written in turn, so they follow each other; a new file has the same in both.
  is_latest_ = whole == kSlots && sum >= 2 * current_.sequence - 1;
  if (whole < kSlots) {
    log_warn("store", path +
                          ": one of two superblocks is damaged (a power cut in its write does "
                          "that); going on from the other");
  }
}

std::vector<std::uint32_t> SuperblockFile::damaged_slots() const {
  std::vector<std::uint32_t> out;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const std::optional<Superblock> block = read_slot(*file_, slot);
    const bool whole = block && block->id == current_.id;
    const bool stale = slot == current_slot_ && whole && block->sequence != current_.sequence;
    if (!whole || stale) out.push_back(slot);
  }
  return out;
}

void SuperblockFile::write(Superblock next) {
  if (!current_is_durable_) {
    // Two slots torn by one power cut would be the end of the store.
    file_->sync();
    ++flushes_;
    current_is_durable_ = true;
  }
  next.sequence = current_.sequence + 1;
  const std::uint32_t slot = 1 - current_slot_;
  file_->write_at(slot * Superblock::kBytes, next.encode());
  file_->sync();
  ++flushes_;
  current_ = std::move(next);
  current_slot_ = slot;
  is_latest_ = true;
}

}  // namespace varve
