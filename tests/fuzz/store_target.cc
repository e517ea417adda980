// SPDX-License-Identifier: Apache-2.0
// FORMAT, superblock, segments and what a commit carries. Checksums are made right before the
// second look: a fuzzer does not find them, an attacker writes them.
#include <cstring>

#include "store/checksum.h"
#include "store/commit_delta.h"
#include "store/commit_record.h"
#include "store/digest.h"
#include "store/segment_format.h"
#include "store/segment_scan.h"
#include "store/store_directory.h"
#include "store/stored_record.h"
#include "store/superblock.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/all_targets.h"

namespace varve::fuzz {
namespace {

StoreId test_id() {
  StoreId id{};
  id.fill(std::byte{7});
  return id;
}
SegmentIdentity test_segment() { return {test_id(), 3}; }

void put_checksum(Bytes& bytes, std::size_t at, std::uint64_t checksum, std::size_t size = 8) {
  if (bytes.size() >= at + size) std::memcpy(bytes.data() + at, &checksum, size);
}

}  // namespace

// ---- FORMAT
// --------------------------------------------------------------------------------------

void format_file(ByteView input) {
  accepted([&] {
    const StoreFormat format = StoreFormat::decode(std::string(as_text(input)), "FORMAT");
    VARVE_CHECK(StoreFormat::decode(format.encode(), "FORMAT").encode() == format.encode());
  });
}

std::vector<Bytes> format_file_seeds() {
  StoreFormat known;
  known.id = test_id();
  known.compat = {"hint", "other"};
  StoreFormat newer = known;
  newer.version = 2;
  newer.needs = "varve 9.9";
  StoreFormat feature = known;
  feature.incompat = {"encryption"};
  return {to_bytes(known.encode()), to_bytes(newer.encode()), to_bytes(feature.encode())};
}

// ---- superblock
// ----------------------------------------------------------------------------------

void superblock(ByteView input) {
  Superblock::decode(input);
  Bytes slot = to_bytes(input);
  slot.resize(Superblock::kBytes);
  put_checksum(slot, 0, checksum_of(ByteView(slot).subspan(8)));
  const std::optional<Superblock> block = Superblock::decode(slot);
  if (block) VARVE_CHECK(Superblock::decode(block->encode())->encode() == block->encode());
}

std::vector<Bytes> superblock_seeds() {
  Superblock block;
  block.id = test_id();
  block.sequence = 5;
  block.csn = 9;
  block.root = to_bytes("root of a catalog");
  block.journal_start_lsn = 4096;
  block.durable_lsn = 8192;
  block.journal_file_bytes = 64 << 20;
  Bytes bytes = block.encode();
  bytes.resize(160);  // zeros up to the end of the slot
  return {bytes};
}

// ---- segments
// ------------------------------------------------------------------------------------

namespace {

/// Gives what looks like a record, and those behind it, headers with the right checksums.
void seal_records(Bytes& segment) {
  std::size_t at = kSegmentHeaderBytes;
  while (at + kRecordHeaderBytes < segment.size()) {
    Input raw(ByteView(segment).subspan(at, kRecordHeaderBytes));
    RecordHeader header;
    raw.bytes(5);
    header.kind = static_cast<ObjectKind>(raw.u8());
    header.codec = static_cast<Codec>(raw.u8());
    header.mirror = (raw.u8() & 1) != 0;
    const std::size_t room = segment.size() - at - kRecordHeaderBytes;
    header.payload_bytes = static_cast<std::uint32_t>(std::min<std::size_t>(raw.u32(), room));
    header.data_bytes = raw.u32();
    raw.u32();
    const ByteView digest = raw.bytes(header.digest.bytes.size());
    std::copy(digest.begin(), digest.end(), header.digest.bytes.begin());
    header.payload_checksum =
        checksum_of(ByteView(segment).subspan(at + kRecordHeaderBytes, header.payload_bytes));
    encode_record_header(test_segment(), at, header, std::span(segment).subspan(at));
    at += record_bytes(header.payload_bytes);
  }
}

/// Gives what looks like a footer, at the place that the last bytes name, the right checksums.
void seal_footer(Bytes& segment) {
  if (segment.size() < kSegmentHeaderBytes + kFooterTrailerBytes) return;
  const std::size_t trailer_at = segment.size() - kFooterTrailerBytes;
  Input trailer(ByteView(segment).subspan(trailer_at));
  trailer.u64();
  const std::size_t offset =
      std::clamp<std::size_t>(trailer.u64(), kSegmentHeaderBytes, trailer_at);
  std::vector<FooterEntry> entries((trailer_at - offset) / kFooterEntryBytes);
  Input raw(ByteView(segment).subspan(offset));
  for (FooterEntry& entry : entries) {
    const ByteView digest = raw.bytes(entry.digest.bytes.size());
    std::copy(digest.begin(), digest.end(), entry.digest.bytes.begin());
    entry.offset = raw.u32();
    entry.payload_bytes = raw.u32();
    entry.data_bytes = raw.u32();
    entry.kind = static_cast<ObjectKind>(raw.u8());
    entry.mirror = (raw.u8() & 1) != 0;
    raw.u16();
  }
  segment.resize(offset);
  const Bytes footer = encode_footer(test_segment(), offset, entries);
  segment.insert(segment.end(), footer.begin(), footer.end());
}

void open_all(const MemoryFile& file, const std::vector<FooterEntry>& entries) {
  for (const FooterEntry& entry : entries) {
    accepted([&] {
      Bytes bytes(record_bytes(entry.payload_bytes));
      bytes.resize(file.read_at(entry.offset, bytes));
      const Bytes content = open_record(test_segment(), entry.offset, entry.digest, bytes);
      VARVE_CHECK(digest_of(content) == entry.digest);
    });
  }
}

void read_segment(const Bytes& bytes) {
  const MemoryFile file(bytes);
  accepted([&] {
    if (const auto entries = read_footer(file, test_segment())) open_all(file, *entries);
  });
  accepted([&] { open_all(file, scan_records(file, test_segment())); });
}

}  // namespace

void segment(ByteView input) {
  Bytes bytes = to_bytes(input);
  read_segment(bytes);
  const Bytes header = encode_segment_header(test_segment(), {});
  if (bytes.size() < header.size()) return;
  std::copy(header.begin(), header.end(), bytes.begin());
  seal_records(bytes);
  seal_footer(bytes);
  read_segment(bytes);
}

std::vector<Bytes> segment_seeds() {
  Bytes bytes = encode_segment_header(test_segment(), {});
  std::vector<FooterEntry> entries;
  for (const std::string& content :
       {std::string("short"), std::string(400, 'a'), std::string("random \x01\x9f\xe3 bytes")}) {
    const Digest digest = digest_of(as_bytes(content));
    StoredRecord record = make_record(digest, as_bytes(content), ObjectKind::kData, 1);
    encode_record_header(test_segment(), bytes.size(), record.header, record.bytes);
    entries.push_back({digest, static_cast<std::uint32_t>(bytes.size()),
                       record.header.payload_bytes, record.header.data_bytes, record.header.kind,
                       false});
    bytes.insert(bytes.end(), record.bytes.begin(), record.bytes.end());
  }
  const Bytes unsealed = bytes;
  const Bytes footer = encode_footer(test_segment(), bytes.size(), entries);
  bytes.insert(bytes.end(), footer.begin(), footer.end());
  return {unsealed, bytes};
}

void payload(ByteView input) {
  Input in(input);
  const auto codec = static_cast<Codec>(in.u8());
  const std::size_t data_bytes = in.u32() % kMaxObjectBytes + 1;
  accepted([&] { VARVE_CHECK(decode_payload(codec, in.rest(), data_bytes).size() == data_bytes); });
}

std::vector<Bytes> payload_seeds() {
  std::vector<Bytes> out;
  for (const int level : {0, 1, 19}) {
    Bytes encoded;
    const Bytes content = to_bytes(std::string(300, 'x') + "end");
    const Codec codec = encode_payload(content, level, encoded);
    Bytes size;
    ByteWriter(size).u32(static_cast<std::uint32_t>(content.size() - 1));
    size.insert(size.end(), encoded.begin(), encoded.end());
    out.push_back(chosen(static_cast<unsigned>(codec), size));
  }
  return out;
}

// ---- commits
// -------------------------------------------------------------------------------------

void commit_delta(ByteView input) {
  accepted([&] {
    const CommitDelta delta = CommitDelta::decode(input);
    VARVE_CHECK(CommitDelta::decode(delta.encode()) == delta);
  });
}

std::vector<Bytes> commit_delta_seeds() {
  CommitDelta delta;
  delta.csn = 12;
  delta.births.push_back({digest_of(as_bytes("a")), {{1, 64}, {2, 64}, 128, 60}, 2, false});
  delta.births.push_back({digest_of(as_bytes("b")), {}, 1, true});
  std::sort(delta.births.begin(), delta.births.end(),
            [](const auto& a, const auto& b) { return a.digest < b.digest; });
  delta.releases.push_back({digest_of(as_bytes("c")), 3});
  return {delta.encode(), CommitDelta{}.encode()};
}

void commit_record(ByteView input) {
  accepted([&] {
    const CommitRecord record = CommitRecord::decode(input);
    VARVE_CHECK(CommitRecord::decode(record.encode()).encode() == record.encode());
    CommitDelta::decode(record.delta);
  });
}

std::vector<Bytes> commit_record_seeds() {
  CommitRecord record;
  record.csn = 12;
  record.replay_from = 4096;
  record.root = to_bytes("root");
  record.delta = commit_delta_seeds().front();
  return {record.encode()};
}

}  // namespace varve::fuzz
