// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "store/base/bytes.h"
#include "store/journal.h"

namespace varve {

/// Flushed bytes are never rewritten in units of this: the record after a flush begins at the next
/// multiple. A power cut tears writes, not what lies beside them in other blocks.
inline constexpr std::uint64_t kJournalBlockBytes = 4096;
/// The first block of each journal file.
inline constexpr std::uint64_t kJournalFileHeaderBytes = kJournalBlockBytes;
inline constexpr std::size_t kJournalRecordHeaderBytes = 48;
inline constexpr std::uint32_t kJournalVersion = 1;
/// Smallest journal file that a store accepts: two of them leave room for what the limits of the
/// ring keep back.
inline constexpr std::uint64_t kJournalFileBytesMin = 64 * 1024;

/// `value` rounded up to a multiple of `unit`, a power of two.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) & ~(unit - 1);
}

/// Where a position of the stream lies: the stream is cut into spans of one file each, and the
/// first block of a span is the file's header.
struct JournalLayout {
  std::uint64_t file_bytes = 0;

  std::uint64_t span_of(Lsn lsn) const { return lsn / file_bytes; }
  std::uint64_t offset_of(Lsn lsn) const { return lsn % file_bytes; }
  Lsn base_of(std::uint64_t span) const { return span * file_bytes; }
  /// Where the first record of a span begins.
  Lsn first_of(std::uint64_t span) const { return base_of(span) + kJournalFileHeaderBytes; }
  /// Largest payload of one record: it must fit into one file.
  std::uint64_t payload_bytes_max() const {
    return file_bytes - kJournalFileHeaderBytes - kJournalRecordHeaderBytes;
  }
  /// Where a record of `record_bytes` goes that cannot begin before `lsn`: there, or at the begin
  /// of the next span if it does not fit.
  Lsn place(Lsn lsn, std::uint64_t record_bytes) const;
};

/// Mixed into every checksum: a journal of another store is as invalid as noise.
std::uint64_t journal_seed(const std::array<std::byte, 16>& store_id);

/// The first block of a journal file that is in use. docs/format.md draws the bytes.
struct JournalFileHeader {
  std::array<std::byte, 16> store_id{};
  Lsn base_lsn = 0;
  std::uint64_t file_bytes = 0;
  std::uint32_t epoch = 0;  ///< of the writer that put the file to use

  Bytes encode() const;
  /// Empty unless the block is whole and of this store.
  static std::optional<JournalFileHeader> decode(ByteView block,
                                                 const std::array<std::byte, 16>& store_id);
};

/// What precedes a record's payload.
struct JournalRecordHeader {
  /// The payload goes on in the next record of the same type.
  static constexpr std::uint8_t kMore = 1;
  /// The payload goes on from the record of the same type before it.
  static constexpr std::uint8_t kContinued = 2;

  std::uint32_t payload_bytes = 0;
  Lsn lsn = 0;
  Lsn durable_lsn = 0;          ///< everything before was flushed when the record was written
  std::uint32_t epoch = 0;      ///< one more at each open: tells records from stale ones
  std::uint32_t gap_bytes = 0;  ///< between the end of the previous record and this one
  JournalType type = JournalType::kMark;
  std::uint8_t flags = 0;

  /// Just after the record, where the next one may begin: a multiple of 8.
  Lsn end_lsn() const { return lsn + record_bytes(payload_bytes); }
  static std::uint64_t record_bytes(std::uint64_t payload_bytes) {
    return round_up(kJournalRecordHeaderBytes + payload_bytes, 8);
  }

  /// Writes the header in front of the payload that `record` holds already, checksum included.
  void seal(std::span<std::byte> record, std::uint64_t seed) const;
  /// The first multiple of 8 in `bytes` where a header may begin; else where to go on with the
  /// bytes that come after them, less than a header before their end.
  static std::size_t find(ByteView bytes);
  /// Empty unless the bytes look like a header. The checksum is not looked at.
  static std::optional<JournalRecordHeader> parse(ByteView bytes);
  /// True if `record` (header and payload) is what was sealed.
  static bool verify(ByteView record, Lsn lsn, std::uint64_t seed);
};

}  // namespace varve
