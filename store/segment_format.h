// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/codec.h"
#include "store/location.h"

namespace varve {

/// The bytes of segment files, drawn in docs/format.md:
///
///   segment = header[64] record* (footer)
///   record  = header[64] payload padding-to-8
///   footer  = entry[48]* trailer[40], at the end of the file
///
/// Records of failed writes leave gaps, so a reader without a footer looks for the next record
/// header in steps of eight bytes. Header checksums are seeded with store, segment and offset:
/// content that imitates a record cannot be taken for one.

inline constexpr std::size_t kSegmentHeaderBytes = 64;
inline constexpr std::size_t kRecordHeaderBytes = 64;
inline constexpr std::size_t kFooterEntryBytes = 48;
inline constexpr std::size_t kFooterTrailerBytes = 40;
inline constexpr std::size_t kRecordAlignment = 8;
inline constexpr std::uint32_t kSegmentVersion = 1;

/// Offsets in a footer are 32 bits.
inline constexpr std::uint64_t kMaxSegmentBytes = 1ull << 31;

/// Which segment file is meant; part of the seed of every checksum in it.
struct SegmentIdentity {
  StoreId store{};
  SegmentId segment = 0;
};

struct SegmentHeader {
  bool mirror = false;  ///< holds second copies only
};

struct RecordHeader {
  Digest digest;
  std::uint32_t payload_bytes = 0;
  std::uint32_t data_bytes = 0;
  ObjectKind kind = ObjectKind::kData;
  Codec codec = Codec::kRaw;
  bool mirror = false;  ///< a second copy
  std::uint64_t payload_checksum = 0;
};

struct FooterEntry {
  Digest digest;
  std::uint32_t offset = 0;
  std::uint32_t payload_bytes = 0;
  std::uint32_t data_bytes = 0;
  ObjectKind kind = ObjectKind::kData;
  bool mirror = false;

  friend bool operator==(const FooterEntry&, const FooterEntry&) = default;
};

/// What the end of a sealed segment says about its footer.
struct FooterTrailer {
  std::uint64_t entries_checksum = 0;
  std::uint64_t offset = 0;  ///< where the entries begin
  std::uint32_t count = 0;
};

/// Bytes of a record with `payload_bytes` in the file.
constexpr std::uint64_t record_bytes(std::uint64_t payload_bytes) {
  return (kRecordHeaderBytes + payload_bytes + kRecordAlignment - 1) / kRecordAlignment *
         kRecordAlignment;
}
constexpr std::uint64_t footer_bytes(std::uint64_t entries) {
  return entries * kFooterEntryBytes + kFooterTrailerBytes;
}

/// "00000000000000a7.seg"
std::string segment_file_name(SegmentId id);
/// The inverse; empty for any other name.
std::optional<SegmentId> parse_segment_file_name(const std::string& name);

Bytes encode_segment_header(const SegmentIdentity& identity, const SegmentHeader& header);
/// Throws CorruptionError if it is damaged or of another store or segment, UserError(ENOTSUP) if
/// its version or a feature is newer than this program.
SegmentHeader decode_segment_header(const SegmentIdentity& identity, ByteView bytes);

/// Writes the header of the record at `offset` into the first kRecordHeaderBytes of `out`.
void encode_record_header(const SegmentIdentity& identity, std::uint64_t offset,
                          const RecordHeader& header, std::span<std::byte> out);
/// Empty if the bytes at `offset` are not a valid record header.
std::optional<RecordHeader> decode_record_header(const SegmentIdentity& identity,
                                                 std::uint64_t offset, ByteView bytes);

/// The footer that begins at `offset`.
Bytes encode_footer(const SegmentIdentity& identity, std::uint64_t offset,
                    const std::vector<FooterEntry>& entries);
/// `bytes` are the last kFooterTrailerBytes of a file of `file_bytes`; empty if they are not a
/// valid trailer of it.
std::optional<FooterTrailer> decode_footer_trailer(const SegmentIdentity& identity,
                                                   std::uint64_t file_bytes, ByteView bytes);
/// Empty if the entries are damaged.
std::optional<std::vector<FooterEntry>> decode_footer_entries(const FooterTrailer& trailer,
                                                              ByteView bytes);

}  // namespace varve
