// SPDX-License-Identifier: Apache-2.0
#include "store/segment_format.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "store/base/error.h"
#include "store/checksum.h"

namespace varve {

namespace {

constexpr std::uint64_t kSegmentMagic = 0x3147455345565256ull;  // "VRVESEG1"
constexpr std::uint64_t kFooterMagic = 0x31544F4645565256ull;   // "VRVEFOT1"
constexpr std::uint32_t kSegmentRecordMagic = 0x43455256u;      // "VREC"
constexpr std::uint8_t kRecordVersion = 1;
constexpr std::uint32_t kMirrorFlag = 1;

std::uint64_t seed_of(const SegmentIdentity& identity, std::uint64_t offset) {
  std::array<std::uint64_t, 2> store;
  std::memcpy(store.data(), identity.store.data(), sizeof store);
  constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15ull;
  return (store[0] ^ identity.segment * kOdd) + (store[1] ^ offset * (kOdd | 2));
}

void put_digest(ByteWriter& out, const Digest& digest) { out.raw(digest.bytes); }

Digest take_digest(ByteReader& in) {
  Digest digest;
  const ByteView bytes = in.raw(digest.bytes.size());
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

bool plausible(std::uint32_t payload_bytes, std::uint32_t data_bytes, std::uint8_t kind,
               std::uint32_t flags) {
  return payload_bytes >= 1 && payload_bytes <= kMaxObjectBytes && data_bytes >= 1 &&
         data_bytes <= kMaxObjectBytes && kind <= static_cast<int>(ObjectKind::kMetadata) &&
         (flags & ~kMirrorFlag) == 0;
}

}  // namespace

std::string segment_file_name(SegmentId id) {
  std::array<char, 24> name{};
  std::snprintf(name.data(), name.size(), "%016llx.seg", static_cast<unsigned long long>(id));
  return name.data();
}

std::optional<SegmentId> parse_segment_file_name(const std::string& name) {
  constexpr std::size_t kDigits = 16;
  if (name.size() != kDigits + 4 || name.substr(kDigits) != ".seg") return std::nullopt;
  if (name.find_first_not_of("0123456789abcdef") != kDigits) return std::nullopt;
  const SegmentId id = std::stoull(name.substr(0, kDigits), nullptr, 16);
  return id == 0 ? std::nullopt : std::optional(id);
}

Bytes encode_segment_header(const SegmentIdentity& identity, const SegmentHeader& header) {
  Bytes bytes;
  ByteWriter out(bytes);
  out.u64(kSegmentMagic);
  out.u32(kSegmentVersion);
  out.u32(header.mirror ? kMirrorFlag : 0);
  out.raw(identity.store);
  out.u64(identity.segment);
  out.u64(0);  // features that a reader must know
  out.u64(0);  // reserved
  out.u64(checksum_of(bytes));
  VARVE_CHECK(bytes.size() == kSegmentHeaderBytes);
  return bytes;
}

SegmentHeader decode_segment_header(const SegmentIdentity& identity, ByteView bytes) {
  ByteReader in(bytes, "segment header");
  if (in.u64() != kSegmentMagic) in.fail("not a segment");
  const std::uint32_t version = in.u32();
  const std::uint32_t flags = in.u32();
  const ByteView store = in.raw(identity.store.size());
  const SegmentId segment = in.u64();
  const std::uint64_t features = in.u64();
  in.u64();
  const std::size_t covered = in.offset();
  if (in.u64() != checksum_of(bytes.first(covered))) in.fail("checksum mismatch");
  if (version != kSegmentVersion || features != 0) {
    throw UserError(ENOTSUP, "segment " + segment_file_name(identity.segment) +
                                 " has format version " + std::to_string(version) +
                                 " or features that this program does not know; use a newer one");
  }
  if (!std::equal(store.begin(), store.end(), identity.store.begin())) in.fail("another store's");
  if (segment != identity.segment) in.fail("the file has another segment's name");
  return SegmentHeader{(flags & kMirrorFlag) != 0};
}

void encode_record_header(const SegmentIdentity& identity, std::uint64_t offset,
                          const RecordHeader& header, std::span<std::byte> out_bytes) {
  Bytes bytes;
  bytes.reserve(kRecordHeaderBytes);
  ByteWriter out(bytes);
  out.u32(kSegmentRecordMagic);
  out.u8(kRecordVersion);
  out.u8(static_cast<std::uint8_t>(header.kind));
  out.u8(static_cast<std::uint8_t>(header.codec));
  out.u8(header.mirror ? kMirrorFlag : 0);
  out.u32(header.payload_bytes);
  out.u32(header.data_bytes);
  out.u32(0);  // key id: not encrypted
  put_digest(out, header.digest);
  out.u64(header.payload_checksum);
  out.u32(static_cast<std::uint32_t>(checksum_of(bytes, seed_of(identity, offset))));
  VARVE_CHECK(bytes.size() == kRecordHeaderBytes && out_bytes.size() >= bytes.size());
  std::copy(bytes.begin(), bytes.end(), out_bytes.begin());
}

std::optional<RecordHeader> decode_record_header(const SegmentIdentity& identity,
                                                 std::uint64_t offset, ByteView bytes) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  ByteReader in(bytes.first(kRecordHeaderBytes), "record header");
  if (in.u32() != kSegmentRecordMagic) return std::nullopt;
  const std::uint8_t version = in.u8();
  const std::uint8_t kind = in.u8();
  const std::uint8_t codec = in.u8();
  const std::uint8_t flags = in.u8();
  RecordHeader header;
  header.payload_bytes = in.u32();
  header.data_bytes = in.u32();
  const std::uint32_t key_id = in.u32();
  header.digest = take_digest(in);
  header.payload_checksum = in.u64();
  const std::uint64_t expected = checksum_of(bytes.first(in.offset()), seed_of(identity, offset));
  if (in.u32() != static_cast<std::uint32_t>(expected)) return std::nullopt;
  if (version != kRecordVersion || key_id != 0) return std::nullopt;
  if (!plausible(header.payload_bytes, header.data_bytes, kind, flags)) return std::nullopt;
  header.kind = static_cast<ObjectKind>(kind);
  header.codec = static_cast<Codec>(codec);
  header.mirror = (flags & kMirrorFlag) != 0;
  return header;
}

Bytes encode_footer(const SegmentIdentity& identity, std::uint64_t offset,
                    const std::vector<FooterEntry>& entries) {
  Bytes bytes;
  bytes.reserve(footer_bytes(entries.size()));
  ByteWriter out(bytes);
  for (const FooterEntry& entry : entries) {
    put_digest(out, entry.digest);
    out.u32(entry.offset);
    out.u32(entry.payload_bytes);
    out.u32(entry.data_bytes);
    out.u8(static_cast<std::uint8_t>(entry.kind));
    out.u8(entry.mirror ? kMirrorFlag : 0);
    out.u16(0);
  }
  const std::uint64_t entries_checksum = checksum_of(bytes);
  Bytes trailer;
  ByteWriter tail(trailer);
  tail.u64(entries_checksum);
  tail.u64(offset);
  tail.u32(static_cast<std::uint32_t>(entries.size()));
  tail.u32(kSegmentVersion);
  tail.u64(checksum_of(trailer, seed_of(identity, offset)));
  tail.u64(kFooterMagic);
  VARVE_CHECK(trailer.size() == kFooterTrailerBytes);
  out.raw(trailer);
  return bytes;
}

std::optional<FooterTrailer> decode_footer_trailer(const SegmentIdentity& identity,
                                                   std::uint64_t file_bytes, ByteView bytes) {
  if (bytes.size() != kFooterTrailerBytes) return std::nullopt;
  ByteReader in(bytes, "segment footer");
  FooterTrailer trailer;
  trailer.entries_checksum = in.u64();
  trailer.offset = in.u64();
  trailer.count = in.u32();
  const std::uint32_t version = in.u32();
  const ByteView covered = bytes.first(in.offset());
  const std::uint64_t checksum = in.u64();
  if (in.u64() != kFooterMagic || version != kSegmentVersion) return std::nullopt;
  if (checksum != checksum_of(covered, seed_of(identity, trailer.offset))) return std::nullopt;
  if (trailer.offset < kSegmentHeaderBytes || trailer.offset > file_bytes ||
      file_bytes - trailer.offset != footer_bytes(trailer.count)) {
    return std::nullopt;
  }
  return trailer;
}

std::optional<std::vector<FooterEntry>> decode_footer_entries(const FooterTrailer& trailer,
                                                              ByteView bytes) {
  if (bytes.size() != trailer.count * kFooterEntryBytes) return std::nullopt;
  if (checksum_of(bytes) != trailer.entries_checksum) return std::nullopt;
  std::vector<FooterEntry> entries;
  entries.reserve(trailer.count);
  ByteReader in(bytes, "segment footer");
  while (!in.done()) {
    FooterEntry entry;
    entry.digest = take_digest(in);
    entry.offset = in.u32();
    entry.payload_bytes = in.u32();
    entry.data_bytes = in.u32();
    const std::uint8_t kind = in.u8();
    const std::uint8_t flags = in.u8();
    in.u16();
    if (!plausible(entry.payload_bytes, entry.data_bytes, kind, flags)) return std::nullopt;
    if (entry.offset < kSegmentHeaderBytes || entry.offset % kRecordAlignment != 0 ||
        entry.offset + record_bytes(entry.payload_bytes) > trailer.offset) {
      return std::nullopt;
    }
    entry.kind = static_cast<ObjectKind>(kind);
    entry.mirror = (flags & kMirrorFlag) != 0;
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace varve
