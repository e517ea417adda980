// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog_rows.h"

#include <gtest/gtest.h>

#include "store/base/error.h"

namespace varve {
namespace {

Ptr sample_ptr() {
  Ptr ptr;
  ptr.digest.bytes.fill(std::byte{0xab});
  ptr.stored_bytes = 200;
  ptr.data_bytes = 127;
  ptr.birth = 6;
  return ptr;
}

std::string ptr_hex() {
  std::string out;
  for (int i = 0; i < 32; ++i) out += "ab";
  return out +
         "c801"
         "7f"
         "06"
         "00";
}

VolumeRow sample_volume() {
  VolumeRow row;
  row.id = VolumeId{4};
  row.name = "data";
  row.head = NodeId{300};
  row.created_ns = 1;
  row.source = "a@b";
  row.labels = {{"k", "v"}};
  row.protect = true;
  row.trashed_ns = -1;
  row.committed_lsn = 128;
  return row;
}

SnapshotRow sample_snapshot() {
  SnapshotRow row;
  row.node = NodeId{5};
  row.volume = VolumeId{4};
  row.name = "one";
  row.created_ns = 2;
  row.logical_bytes = 300;
  row.quota_bytes = 7;
  return row;
}

LineageNode sample_node() {
  LineageNode row;
  row.id = NodeId{5};
  row.family = FamilyId{1};
  row.parent = NodeId{3};
  row.txg = 9;
  row.hidden = true;
  row.root = sample_ptr();
  return row;
}

DeletionRow sample_deletion() {
  DeletionRow row;
  row.id = DeletionId{8};
  row.root = sample_ptr();
  row.lo = 4;
  row.compare = sample_ptr();
  row.child = NodeId{3};
  row.pinned_csn = 200;
  row.cursor = DeletionCursor{0, {Ino{1}, Kind::kRegion, 2}, 3};
  return row;
}

// clang-format off
TEST(CatalogRows, HaveTheBytesOfTheFormat) {
  EXPECT_EQ(to_hex(row_key(RowType::kVolume, VolumeId{4}).encode()),
            "0000000000000004" "00" "0000000000000004");
  EXPECT_EQ(to_hex(encode_row(CountersRow{1, 2, 300, 4})), "01" "01" "02" "ac02" "04");
  EXPECT_EQ(to_hex(encode_row(FamilyRow{FamilyId{1}, 128, 3})), "01" "8001");
  EXPECT_EQ(to_hex(encode_row(sample_node())), "01" "02" "01" "03" "09" "01" + ptr_hex());
  EXPECT_EQ(to_hex(encode_row(sample_volume())),
            "01" "01" "04" "64617461" "ac02" "0100000000000000" "ffffffffffffffff" "8001"
            "03" "614062" "01" "01" "6b" "01" "76");
  EXPECT_EQ(to_hex(encode_row(sample_snapshot())),
            "01" "04" "03" "6f6e65" "0200000000000000" "ac02" "07" "00");
  EXPECT_EQ(to_hex(encode_row(sample_deletion())),
            "01" "00" + ptr_hex() + "04" "01" + ptr_hex() + "03" "c801" "01" "00"
            "0000000000000001" "05" "0000000000000002" "03");
  EXPECT_EQ(to_hex(encode_root(sample_ptr())), "01" + ptr_hex());
}
// clang-format on

TEST(CatalogRows, ReadBackWhatWasWritten) {
  const VolumeRow volume = decode_volume(VolumeId{4}, encode_row(sample_volume()));
  EXPECT_EQ(encode_row(volume), encode_row(sample_volume()));
  EXPECT_EQ(volume.trashed_ns, -1);
  EXPECT_EQ(volume.labels, sample_volume().labels);
  EXPECT_EQ(encode_row(decode_node(NodeId{5}, encode_row(sample_node()))),
            encode_row(sample_node()));
  EXPECT_EQ(encode_row(decode_snapshot(NodeId{5}, encode_row(sample_snapshot()))),
            encode_row(sample_snapshot()));
  const DeletionRow deletion = decode_deletion(DeletionId{8}, encode_row(sample_deletion()));
  EXPECT_EQ(deletion.cursor, sample_deletion().cursor);
  EXPECT_EQ(deletion.compare, sample_ptr());
  EXPECT_FALSE(deletion.stuck);
  EXPECT_EQ(decode_counters(encode_row(CountersRow{1, 2, 3, 4})).next_deletion, 4u);
  EXPECT_EQ(decode_root(encode_root(sample_ptr())), sample_ptr());
}

void decode_all(ByteView bytes) {
  const auto attempt = [&](auto decode) {
    try {
      decode();
    } catch (const CorruptionError&) {
    }
  };
  attempt([&] { decode_counters(bytes); });
  attempt([&] { decode_family(FamilyId{1}, bytes); });
  attempt([&] { decode_node(NodeId{1}, bytes); });
  attempt([&] { decode_volume(VolumeId{1}, bytes); });
  attempt([&] { decode_snapshot(NodeId{1}, bytes); });
  attempt([&] { decode_deletion(DeletionId{1}, bytes); });
  attempt([&] { decode_root(bytes); });
}

TEST(CatalogRows, SurviveEveryFlippedByteAndEveryCut) {
  for (const Bytes& sample : {encode_row(sample_node()), encode_row(sample_volume()),
                              encode_row(sample_snapshot()), encode_row(sample_deletion())}) {
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

TEST(CatalogRows, RefuseWhatCannotBe) {
  LineageNode node = sample_node();
  node.is_head = true;  // and hidden
  EXPECT_THROW(decode_node(NodeId{5}, encode_row(node)), CorruptionError);
  DeletionRow deletion = sample_deletion();
  deletion.cursor->level = 1;  // inside of a node
  EXPECT_THROW(decode_deletion(DeletionId{8}, encode_row(deletion)), CorruptionError);
  Bytes flags = encode_row(sample_volume());
  flags[1] = std::byte{2};
  EXPECT_THROW(decode_volume(VolumeId{4}, flags), CorruptionError);
  Bytes longer = encode_row(CountersRow{});
  longer.push_back(std::byte{0});
  EXPECT_THROW(decode_counters(longer), CorruptionError);
}

TEST(CatalogRows, NamesAreThoseThatCommandsLetIn) {
  VolumeRow volume = sample_volume();
  volume.name = "../etc";
  EXPECT_THROW(decode_volume(volume.id, encode_row(volume)), CorruptionError);
  SnapshotRow snapshot = sample_snapshot();
  snapshot.name = "two\nlines";
  EXPECT_THROW(decode_snapshot(snapshot.node, encode_row(snapshot)), CorruptionError);
}

TEST(CatalogRows, NumbersThatWouldOverflowAreRefused) {
  EXPECT_THROW(decode_counters(encode_row(CountersRow{1, ~0ull, 1, 1})), CorruptionError);
  EXPECT_THROW(decode_counters(encode_row(CountersRow{0, 1, 1, 1})), CorruptionError);
  EXPECT_THROW(decode_family(FamilyId{1}, encode_row(FamilyRow{FamilyId{1}, ~0ull, 0})),
               CorruptionError);
}

}  // namespace
}  // namespace varve
