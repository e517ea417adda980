// SPDX-License-Identifier: Apache-2.0
#include "store/stored_record.h"

#include "store/base/error.h"
#include "store/checksum.h"

namespace varve {

StoredRecord make_record(const Digest& digest, ByteView content, ObjectKind kind, int level) {
  VARVE_CHECK(!content.empty() && content.size() <= kMaxObjectBytes);
  StoredRecord record;
  record.bytes.reserve(record_bytes(content.size()));
  record.bytes.resize(kRecordHeaderBytes);
  record.header.codec = encode_payload(content, level, record.bytes);
  const ByteView payload = ByteView(record.bytes).subspan(kRecordHeaderBytes);
  record.header.digest = digest;
  record.header.kind = kind;
  record.header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  record.header.data_bytes = static_cast<std::uint32_t>(content.size());
  record.header.payload_checksum = checksum_of(payload);
  record.bytes.resize(record_bytes(payload.size()));
  return record;
}

namespace {

constexpr char kOtherDigest[] = "the content has another digest";

CorruptionError damaged(const SegmentIdentity& identity, std::uint64_t offset, const Digest& digest,
                        const std::string& what) {
  return CorruptionError("object " + digest.hex() + " at byte " + std::to_string(offset) + " of " +
                         segment_file_name(identity.segment) + ": " + what);
}

}  // namespace

RecordHeader check_record(const SegmentIdentity& identity, std::uint64_t offset,
                          const Digest& digest, ByteView bytes) {
  const auto fail = [&](const char* what) { return damaged(identity, offset, digest, what); };
  const std::optional<RecordHeader> header = decode_record_header(identity, offset, bytes);
  if (!header) throw fail("damaged header");
  if (header->digest != digest) throw fail("another object's record");
  if (record_bytes(header->payload_bytes) > bytes.size()) throw fail("truncated");
  const ByteView payload = bytes.subspan(kRecordHeaderBytes, header->payload_bytes);
  if (checksum_of(payload) != header->payload_checksum) throw fail("damaged payload");
  return *header;
}

Bytes open_record(const SegmentIdentity& identity, std::uint64_t offset, const Digest& digest,
                  ByteView bytes, Trust trust) {
  const RecordHeader header = check_record(identity, offset, digest, bytes);
  const ByteView payload = bytes.subspan(kRecordHeaderBytes, header.payload_bytes);
  Bytes content;
  try {
    content = decode_payload(header.codec, payload, header.data_bytes);
  } catch (const CorruptionError& error) {
    throw damaged(identity, offset, digest, error.what());
  }
  if (trust == Trust::kNothing && digest_of(content) != digest) {
    throw damaged(identity, offset, digest, kOtherDigest);
  }
  return content;
}

std::optional<ByteView> open_raw_record(const SegmentIdentity& identity, std::uint64_t offset,
                                        const Digest& digest, ByteView bytes, Trust trust) {
  const RecordHeader header = check_record(identity, offset, digest, bytes);
  if (header.codec != Codec::kRaw) return std::nullopt;
  const ByteView content = bytes.subspan(kRecordHeaderBytes, header.payload_bytes);
  if (trust == Trust::kNothing && digest_of(content) != digest) {
    throw damaged(identity, offset, digest, kOtherDigest);
  }
  return content;
}

}  // namespace varve
