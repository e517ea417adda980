// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// Checks the record of `digest` that was read from `offset` and gives back its content: header,
/// payload checksum, decoding, SHA-256. Throws CorruptionError that names the digest.
Bytes open_record(const SegmentIdentity& identity, std::uint64_t offset, const Digest& digest,
                  ByteView bytes);

}  // namespace varve
