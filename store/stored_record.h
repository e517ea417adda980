// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "store/segment_format.h"

namespace varve {

/// One record, ready to be written at any place of any segment: `bytes` has room for the record's
/// header, then payload and padding.
struct StoredRecord {
  RecordHeader header;
  Bytes bytes;
};

/// Compresses `content` (1 ..= kMaxObjectBytes) at zstd `level` into a record.
StoredRecord make_record(const Digest& digest, ByteView content, ObjectKind kind, int level);

/// Checks by header and payload checksum that `bytes`, read from `offset`, are the record of
/// `digest`, without decoding them. Throws CorruptionError that names the digest.
RecordHeader check_record(const SegmentIdentity& identity, std::uint64_t offset,
                          const Digest& digest, ByteView bytes);

/// What is known of a record before it is read.
enum class Trust : std::uint8_t {
  kNothing,
  kDigested  ///< this process has computed or checked the content's digest: checksums tell damage
};

/// The same, and gives back the content: decoding, and SHA-256 unless it can be trusted. Throws
/// CorruptionError that names the digest.
Bytes open_record(const SegmentIdentity& identity, std::uint64_t offset, const Digest& digest,
                  ByteView bytes, Trust trust = Trust::kNothing);

/// As open_record, of a record whose payload is the content: that part of `bytes`. Empty if the
/// payload is compressed.
std::optional<ByteView> open_raw_record(const SegmentIdentity& identity, std::uint64_t offset,
                                        const Digest& digest, ByteView bytes, Trust trust);

}  // namespace varve
