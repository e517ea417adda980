// SPDX-License-Identifier: Apache-2.0
#include "store/segment_format.h"

#include <gtest/gtest.h>

#include "store/base/error.h"
#include "store/stored_record.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::random_content;
using test::text_content;

SegmentIdentity identity(SegmentId segment = 5) {
  SegmentIdentity out;
  out.store.fill(std::byte{0x42});
  out.segment = segment;
  return out;
}

/// A record at `offset` of the segment, as it lies in the file.
Bytes record_at(std::uint64_t offset, const Bytes& content) {
  StoredRecord record = make_record(digest_of(content), content, ObjectKind::kData, 1);
  encode_record_header(identity(), offset, record.header, record.bytes);
  return record.bytes;
}

TEST(SegmentFormat, FileNamesAreSixteenHexDigits) {
  EXPECT_EQ(segment_file_name(0xa7), "00000000000000a7.seg");
  EXPECT_EQ(parse_segment_file_name("00000000000000a7.seg"), SegmentId{0xa7});
  EXPECT_EQ(parse_segment_file_name("ffffffffffffffff.seg"), ~SegmentId{0});
  for (const char* name :
       {"", "a7.seg", "00000000000000A7.seg", "00000000000000a7.sex", "0000000000000000.seg",
        "00000000000000a7.seg2", "-0000000000000a7.seg", "00000000000000a7.seg.damaged"}) {
    EXPECT_EQ(parse_segment_file_name(name), std::nullopt) << name;
  }
}

TEST(SegmentFormat, SegmentHeaderNoticesEveryFlippedBit) {
  const Bytes bytes = encode_segment_header(identity(), {true});
  EXPECT_TRUE(decode_segment_header(identity(), bytes).mirror);
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    Bytes damaged = bytes;
    damaged[i / 8] ^= static_cast<std::byte>(1u << i % 8);
    EXPECT_THROW(decode_segment_header(identity(), damaged), CorruptionError) << "bit " << i;
  }
}

TEST(SegmentFormat, SegmentHeaderOfAnotherStoreOrNameIsRefused) {
  const Bytes bytes = encode_segment_header(identity(5), {});
  EXPECT_THROW(decode_segment_header(identity(6), bytes), CorruptionError);
  SegmentIdentity other = identity(5);
  other.store[3] ^= std::byte{1};
  EXPECT_THROW(decode_segment_header(other, bytes), CorruptionError);
  EXPECT_THROW(decode_segment_header(identity(5), ByteView(bytes).first(63)), CorruptionError);
}

TEST(SegmentFormat, RecordNoticesEveryFlippedBit) {
  for (const Bytes& content : {text_content(1, 300), random_content(1, 100)}) {
    const Digest digest = digest_of(content);
    const Bytes bytes = record_at(128, content);
    EXPECT_EQ(open_record(identity(), 128, digest, bytes), content);
    const std::size_t covered =
        kRecordHeaderBytes + decode_record_header(identity(), 128, bytes)->payload_bytes;
    for (std::size_t i = 0; i < covered * 8; ++i) {
      Bytes damaged = bytes;
      damaged[i / 8] ^= static_cast<std::byte>(1u << i % 8);
      EXPECT_THROW(open_record(identity(), 128, digest, damaged), CorruptionError) << "bit " << i;
    }
  }
}

TEST(SegmentFormat, RecordNoticesEveryTruncation) {
  const Bytes content = text_content(1, 300);
  const Bytes bytes = record_at(128, content);
  const std::size_t covered =
      kRecordHeaderBytes + decode_record_header(identity(), 128, bytes)->payload_bytes;
  for (std::size_t size = 0; size < covered; ++size) {
    EXPECT_THROW(open_record(identity(), 128, digest_of(content), ByteView(bytes).first(size)),
                 CorruptionError)
        << size;
  }
}

TEST(SegmentFormat, RecordIsValidAtItsPlaceOnly) {
  const Bytes content = text_content(1, 300);
  const Bytes bytes = record_at(128, content);
  EXPECT_TRUE(decode_record_header(identity(), 128, bytes));
  EXPECT_FALSE(decode_record_header(identity(), 136, bytes));
  EXPECT_FALSE(decode_record_header(identity(6), 128, bytes));
}

TEST(SegmentFormat, RecordWhoseContentHasAnotherDigestIsRefused) {
  const Bytes content = text_content(1, 300);
  const Digest wrong = digest_of(as_bytes("something else"));
  StoredRecord record = make_record(wrong, content, ObjectKind::kData, 1);
  encode_record_header(identity(), 64, record.header, record.bytes);
  EXPECT_THROW(open_record(identity(), 64, wrong, record.bytes), CorruptionError);
  EXPECT_THROW(open_record(identity(), 64, digest_of(content), record.bytes), CorruptionError);
}

TEST(SegmentFormat, ErrorNamesTheDigest) {
  const Bytes content = text_content(1, 300);
  try {
    open_record(identity(), 128, digest_of(content), Bytes(400));
    FAIL();
  } catch (const CorruptionError& error) {
    EXPECT_NE(std::string(error.what()).find(digest_of(content).hex()), std::string::npos);
  }
}

TEST(SegmentFormat, FooterComesBackAndNoticesDamage) {
  std::vector<FooterEntry> entries;
  std::uint32_t offset = kSegmentHeaderBytes;
  for (std::uint32_t i = 0; i < 10; ++i) {
    const Bytes content = text_content(i, 100 + i);
    const ObjectKind kind = i % 2 != 0 ? ObjectKind::kMetadata : ObjectKind::kData;
    entries.push_back({digest_of(content), offset, 100 + i, 100 + i, kind, i % 3 == 0});
    offset += static_cast<std::uint32_t>(record_bytes(100 + i));
  }
  const Bytes footer = encode_footer(identity(), offset, entries);
  EXPECT_EQ(footer.size(), footer_bytes(entries.size()));
  const auto decode = [&](const Bytes& bytes) -> std::optional<std::vector<FooterEntry>> {
    const ByteView all = bytes;
    const auto trailer =
        decode_footer_trailer(identity(), offset + bytes.size(), all.last(kFooterTrailerBytes));
    if (!trailer) return std::nullopt;
    return decode_footer_entries(*trailer, all.first(bytes.size() - kFooterTrailerBytes));
  };
  EXPECT_EQ(decode(footer), entries);
  for (std::size_t i = 0; i < footer.size() * 8; ++i) {
    Bytes damaged = footer;
    damaged[i / 8] ^= static_cast<std::byte>(1u << i % 8);
    EXPECT_EQ(decode(damaged), std::nullopt) << "bit " << i;
  }
}

}  // namespace
}  // namespace varve
