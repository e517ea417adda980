// SPDX-License-Identifier: Apache-2.0
#include "snapshot/record.h"

#include <gtest/gtest.h>

#include <random>

#include "store/base/error.h"
#include "tests/snapshot/tree_support.h"

namespace varve::test {
namespace {

Ptr sample_ptr(unsigned seed, std::uint32_t data_bytes = 16384) {
  Ptr ptr;
  for (std::size_t i = 0; i < ptr.digest.bytes.size(); ++i) {
    ptr.digest.bytes[i] = static_cast<std::byte>(seed + i);
  }
  ptr.stored_bytes = 300;
  ptr.data_bytes = data_bytes;
  ptr.birth = 5;
  return ptr;
}

InodeRecord sample_inode() {
  InodeRecord record;
  record.mode = 0100644;
  record.uid = 1000;
  record.gid = 100;
  record.nlink = 1;
  record.size = 3;
  record.allocated = 0;
  record.rdev = 0;
  record.atime = {1, 2};
  record.mtime = {3, 4};
  record.ctime = {-5, 999'999'999};
  record.btime = {7, 8};
  record.flags = InodeFlags::kHasXattr | InodeFlags::kHasCaps;
  record.generation = 9;
  record.parent = Ino{300};
  record.name_cookie = 0x0102030405060708;
  record.content.value = bytes_of("abc");
  return record;
}

constexpr const char* kSampleDigest =
    "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f";
const std::string kSamplePtr = std::string(kSampleDigest) +
                               "ac02"
                               "808001"
                               "05"
                               "00";

// ---- golden bytes: what is on disk never changes its meaning ------------------------------------

// clang-format off
TEST(Record, HasTheInodeBytesOfTheFormat) {
  EXPECT_EQ(to_hex(sample_inode().encode()),
            "01"                                // format
            "a48302" "e807" "64" "01"           // mode, uid, gid, nlink
            "03" "00" "00"                      // size, allocated, rdev
            "0100000000000000" "02000000"       // atime
            "0300000000000000" "04000000"       // mtime
            "fbffffffffffffff" "ffc99a3b"       // ctime
            "0700000000000000" "08000000"       // btime
            "05" "09" "ac02"                    // flags, generation, parent
            "0807060504030201"                  // name cookie
            "00" "03" "616263");                // inline content
}
// clang-format on

// clang-format off
TEST(Record, HasTheOtherBytesOfTheFormat) {
  EXPECT_EQ(to_hex(DirentRecord{Ino{300}, 0040000, "name"}.encode()),
            "01" "04" "ac02" "04" "6e616d65");
  EXPECT_EQ(to_hex(XattrRecord{"user.a", {bytes_of("v")}}.encode()),
            "01" "06" "757365722e61" "00" "01" "76");
  EXPECT_EQ(to_hex(XattrRecord{"user.a", {sample_ptr(0x10)}}.encode()),
            "01" "06" "757365722e61" "01" + kSamplePtr);
  EXPECT_EQ(to_hex(LinkrefRecord{Ino{2}, 256}.encode()), "01" "02" "0001000000000000");
  RegionRecord region;
  region.blocks[3] = sample_ptr(0x10);
  region.holes = 0x81;
  EXPECT_EQ(to_hex(region.encode()), "01" "00" "81" "08" + kSamplePtr);
  region.base = sample_ptr(0x10);
  EXPECT_EQ(to_hex(region.encode()), "01" "01" "81" "08" + kSamplePtr + kSamplePtr);
  EXPECT_EQ(to_hex(HeadInfoRecord{2, 1, 3, 4, 5}.encode()),
            "01" "0200000000000000" "0100000000000000" "0300000000000000" "0400000000000000"
            "0500000000000000");
}
// clang-format on

TEST(Record, ReadsBackWhatItWrote) {
  const InodeRecord inode = InodeRecord::decode(sample_inode().encode());
  EXPECT_EQ(inode.encode(), sample_inode().encode());
  EXPECT_EQ(inode.ctime, (Time{-5, 999'999'999}));
  EXPECT_EQ(inode.content.bytes(), bytes_of("abc"));
  EXPECT_EQ(inode.parent, Ino{300});
  const DirentRecord dirent = DirentRecord::decode(DirentRecord{Ino{7}, 0120000, "x"}.encode());
  EXPECT_EQ(dirent.ino, Ino{7});
  EXPECT_EQ(dirent.type, 0120000u);
  EXPECT_EQ(dirent.name, "x");
  RegionRecord region;
  region.base = sample_ptr(1, 131072);
  region.blocks[0] = sample_ptr(2);
  region.blocks[7] = sample_ptr(3, 1);
  region.holes = 0x10;
  const RegionRecord read = RegionRecord::decode(region.encode());
  EXPECT_EQ(read.base, region.base);
  EXPECT_EQ(read.blocks, region.blocks);
  EXPECT_EQ(read.holes, region.holes);
  EXPECT_EQ(read.base->data_bytes, 131072u);
  const HeadInfoRecord info = HeadInfoRecord::decode(HeadInfoRecord{9, 8, 7, 6, 5}.encode());
  EXPECT_EQ(info.next_ino, 9u);
  EXPECT_EQ(info.quota_inodes, 5u);
}

TEST(Record, CountsBlocksThatAreNotHoles) {
  RegionRecord region;
  EXPECT_EQ(region.allocated(), 0u);
  region.base = sample_ptr(1, 20000);
  EXPECT_EQ(region.allocated(), 2 * kBlockBytes);
  region.blocks[1] = sample_ptr(2);
  region.blocks[5] = sample_ptr(3);
  EXPECT_EQ(region.allocated(), 3 * kBlockBytes);
  region.holes = 0x21;
  EXPECT_EQ(region.allocated(), 1 * kBlockBytes);
}

TEST(Record, ShowsItsPointersInOrder) {
  RegionRecord region;
  region.base = sample_ptr(1);
  region.blocks[2] = sample_ptr(2);
  region.blocks[4] = sample_ptr(3);
  std::vector<Ptr> seen;
  const auto see = [&](const Ptr& ptr) { seen.push_back(ptr); };
  visit_pointers(Kind::kRegion, region.encode(), see);
  InodeRecord link = sample_inode();
  visit_pointers(Kind::kInode, link.encode(), see);
  link.content.value = sample_ptr(4);
  visit_pointers(Kind::kInode, link.encode(), see);
  visit_pointers(Kind::kXattr, XattrRecord{"a", {sample_ptr(5)}}.encode(), see);
  visit_pointers(Kind::kXattr, XattrRecord{"a", {bytes_of("inline")}}.encode(), see);
  visit_pointers(Kind::kDirent, DirentRecord{Ino{7}, 0120000, "x"}.encode(), see);
  EXPECT_EQ(seen, (std::vector<Ptr>{sample_ptr(1), sample_ptr(2), sample_ptr(3), sample_ptr(4),
                                    sample_ptr(5)}));
  for (const Kind kind : {Kind::kHeadInfo, Kind::kOrphan, Kind::kDirent, Kind::kLinkref}) {
    EXPECT_FALSE(may_hold_pointers(kind));
  }
}

// ---- decoders trust nothing --------------------------------------------------------------------

/// Every way to decode `bytes` either works or throws CorruptionError; sanitizers watch the rest.
void decode_all(ByteView bytes) {
  const auto attempt = [&](auto decode) {
    try {
      decode();
    } catch (const CorruptionError&) {
    }
  };
  attempt([&] { InodeRecord::decode(bytes); });
  attempt([&] { DirentRecord::decode(bytes); });
  attempt([&] { XattrRecord::decode(bytes); });
  attempt([&] { LinkrefRecord::decode(bytes); });
  attempt([&] { RegionRecord::decode(bytes); });
  attempt([&] { HeadInfoRecord::decode(bytes); });
  for (int kind = 0; kind <= 6; ++kind) {
    attempt([&] { visit_pointers(static_cast<Kind>(kind), bytes, [](const Ptr&) {}); });
  }
}

std::vector<Bytes> samples() {
  RegionRecord region;
  region.base = sample_ptr(1);
  region.blocks[2] = sample_ptr(2);
  InodeRecord link = sample_inode();
  link.content.value = sample_ptr(4);
  return {sample_inode().encode(),
          link.encode(),
          DirentRecord{Ino{300}, 0040000, "name"}.encode(),
          XattrRecord{"user.a", {bytes_of("v")}}.encode(),
          XattrRecord{"user.a", {sample_ptr(1)}}.encode(),
          LinkrefRecord{Ino{2}, 256}.encode(),
          region.encode(),
          HeadInfoRecord{2, 1, 3, 4, 5}.encode()};
}

TEST(Record, SurvivesEveryFlippedByteAndEveryCut) {
  for (const Bytes& sample : samples()) {
    for (std::size_t i = 0; i < sample.size(); ++i) {
      decode_all(ByteView(sample).first(i));
      for (const int flip : {0x01, 0x10, 0x80, 0xff}) {
        Bytes broken = sample;
        broken[i] ^= static_cast<std::byte>(flip);
        decode_all(broken);
      }
    }
  }
}

TEST(Record, RefusesCutAndLongerBytes) {
  const Bytes inode = sample_inode().encode();
  for (std::size_t i = 0; i < inode.size(); ++i) {
    EXPECT_THROW(InodeRecord::decode(ByteView(inode).first(i)), CorruptionError) << i;
  }
  Bytes longer = inode;
  longer.push_back(std::byte{0});
  EXPECT_THROW(InodeRecord::decode(longer), CorruptionError);
}

template <class Record, class Edit>
void expect_refused(Record record, Edit edit) {
  EXPECT_NO_THROW(Record::decode(record.encode()));
  edit(record);
  EXPECT_THROW(Record::decode(record.encode()), CorruptionError);
}

TEST(Record, RefusesValuesOutOfRange) {
  expect_refused(sample_inode(), [](InodeRecord& r) { r.flags = 16; });
  expect_refused(sample_inode(), [](InodeRecord& r) { r.mode = 0644; });
  expect_refused(sample_inode(), [](InodeRecord& r) { r.mode = 0400644; });
  expect_refused(sample_inode(), [](InodeRecord& r) { r.atime.nanoseconds = 1'000'000'000; });
  expect_refused(sample_inode(), [](InodeRecord& r) { r.size = std::uint64_t{1} << 63; });
  expect_refused(sample_inode(), [](InodeRecord& r) {
    r.content.value = Bytes(65537);
    r.size = 65537;
  });
  // A read copied as many bytes as the size says, whatever was there.
  expect_refused(sample_inode(), [](InodeRecord& r) { r.size = 4; });
  expect_refused(sample_inode(), [](InodeRecord& r) { r.size = 2; });
  const DirentRecord entry{Ino{3}, 0100000, "name"};
  expect_refused(entry, [](DirentRecord& r) { r.ino = Ino{0}; });
  expect_refused(entry, [](DirentRecord& r) { r.type = 0; });
  expect_refused(entry, [](DirentRecord& r) { r.type = 0030000; });
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"),
        std::string("a\0b", 3), std::string(256, 'x')}) {
    expect_refused(entry, [&](DirentRecord& r) { r.name = name; });
  }
  expect_refused(XattrRecord{"a", {}}, [](XattrRecord& r) { r.name.clear(); });
  expect_refused(LinkrefRecord{Ino{2}, 1}, [](LinkrefRecord& r) { r.parent = Ino{0}; });
  expect_refused(HeadInfoRecord{}, [](HeadInfoRecord& r) { r.next_ino = 1; });
  RegionRecord region;
  region.blocks[1] = sample_ptr(1);
  expect_refused(region, [](RegionRecord& r) { r.blocks[1]->data_bytes = 16385; });
  expect_refused(region, [](RegionRecord& r) { r.base = sample_ptr(1, 0); });
  expect_refused(region, [](RegionRecord& r) { r.base = sample_ptr(1, 131073); });
}

TEST(Record, RefusesOtherFormatsAndFlags) {
  for (const Bytes& sample : samples()) {
    Bytes other = sample;
    other[0] = std::byte{2};
    EXPECT_THROW(InodeRecord::decode(other), CorruptionError);
    EXPECT_THROW(RegionRecord::decode(other), CorruptionError);
  }
  RegionRecord region;
  region.base = sample_ptr(1);
  Bytes flagged = region.encode();
  flagged.back() = std::byte{1};  // the pointer's flags
  EXPECT_THROW(RegionRecord::decode(flagged), CorruptionError);
  flagged = region.encode();
  flagged[1] = std::byte{3};
  EXPECT_THROW(RegionRecord::decode(flagged), CorruptionError);
}

}  // namespace
}  // namespace varve::test
