// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "fs/transaction.h"
#include "snapshot/node.h"
#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

class OperationCodecTest : public testing::Test {
 protected:
  /// Runs `body` in a transaction and returns what the journal got.
  Bytes recorded(const std::function<void(Transaction&)>& body) {
    world_.head().run([&] {
      Transaction transaction(world_.head());
      body(transaction);
      transaction.commit();
    });
    return world_.store().records().back().second;
  }
  static Bytes bytes(std::string_view text) {
    const ByteView view = as_bytes(text);
    return Bytes(view.begin(), view.end());
  }
  /// Every kind of change at once.
  Bytes everything() {
    return recorded([&](Transaction& transaction) {
      transaction.set({Ino{9}, Kind::kDirent, 300}, bytes("value"));
      transaction.erase({Ino{9}, Kind::kDirent, 301});
      transaction.head_info().quota_bytes = 99;
      transaction.write(Ino{9}, 20'000, as_bytes("first"));
      transaction.write(Ino{10}, 5, as_bytes("second"));
      transaction.write(Ino{9}, 90'000, as_bytes("third"));
      transaction.punch(Ino{9}, 16'384, 16'384);
      transaction.cut(Ino{10}, 7);
      RegionRecord region;
      region.holes = 3;
      transaction.share(Ino{11}, 4, region);
      transaction.write(Ino{12}, 0, as_bytes("dropped"));
      transaction.drop_data(Ino{12});
    });
  }
  static void expect_equal(const Overlay& a, const Overlay& b) {
    EXPECT_EQ(a.records(), b.records());
    ASSERT_EQ(a.files().size(), b.files().size());
    for (const auto& [ino, data] : a.files()) {
      const FileData* other = b.find_data(ino);
      ASSERT_NE(other, nullptr);
      EXPECT_EQ(data.base_limit(), other->base_limit());
      EXPECT_EQ(data.holes(), other->holes());
      EXPECT_EQ(data.shared().size(), other->shared().size());
      ASSERT_EQ(data.blocks().size(), other->blocks().size());
      for (const auto& [index, block] : data.blocks()) {
        const FileData::Block& same = other->blocks().at(index);
        ASSERT_EQ(block.written.size(), same.written.size());
        for (std::size_t i = 0; i < block.written.size(); ++i) {
          const auto [begin, end] = block.written[i];
          EXPECT_EQ(begin, same.written[i].begin);
          EXPECT_EQ(end, same.written[i].end);
          EXPECT_EQ(std::memcmp(block.bytes.at(begin), same.bytes.at(begin), end - begin), 0);
        }
      }
    }
  }

  VolumeWorld world_;
};

TEST_F(OperationCodecTest, ReplayDoesWhatCommitDid) {
  world_.commit();
  const Bytes payload = everything();
  Overlay replayed;
  OperationCodec::replay(payload, replayed);
  EXPECT_EQ(OperationCodec::volume_of(payload), VolumeId{1});
  world_.head().run([&] {
    world_.head().gate().assert_held();
    expect_equal(world_.head().active(), replayed);
  });
  EXPECT_EQ(replayed.find_data(Ino{12}), nullptr);
}

TEST_F(OperationCodecTest, KnowsTheRequestAndWhatItMade) {
  EXPECT_FALSE(OperationCodec::request_of(everything())) << "nobody's";
  const RequestScope scope(RequestId{0x8000'0000'0000'0002});
  const auto request_of = [&](const std::function<void(Transaction&)>& body) {
    return OperationCodec::request_of(recorded(body));
  };
  const auto written =
      request_of([](Transaction& transaction) { transaction.write(Ino{9}, 0, as_bytes("x")); });
  ASSERT_TRUE(written);
  EXPECT_EQ(written->id, RequestId{0x8000'0000'0000'0002});
  EXPECT_EQ(written->made, kHeadIno);
  const auto named = request_of([](Transaction& transaction) {
    transaction.set({kRootIno, Kind::kDirent, 300}, DirentRecord{Ino{12}, S_IFREG, "a"}.encode());
  });
  EXPECT_EQ(named->made, Ino{12});
  const auto nameless = request_of([](Transaction& transaction) {
    transaction.set({kHeadIno, Kind::kOrphan, 13}, {});
  });
  EXPECT_EQ(nameless->made, Ino{13});
  const auto removed = request_of([](Transaction& transaction) {
    transaction.erase({kRootIno, Kind::kDirent, 300});
  });
  EXPECT_EQ(removed->made, kHeadIno);
}

TEST_F(OperationCodecTest, ReplayingTwiceIsReplayingOnce) {
  const Bytes payload = everything();
  Overlay once;
  OperationCodec::replay(payload, once);
  Overlay twice;
  OperationCodec::replay(payload, twice);
  OperationCodec::replay(payload, twice);
  expect_equal(once, twice);
}

TEST_F(OperationCodecTest, EveryCutIsRefusedWithNothingApplied) {
  const Bytes payload = everything();
  for (std::size_t size = 0; size < payload.size(); ++size) {
    Overlay overlay;
    EXPECT_EQ(errno_of([&] { OperationCodec::replay(ByteView(payload).first(size), overlay); }),
              EIO)
        << size;
    EXPECT_TRUE(overlay.empty());
  }
  Bytes longer = payload;
  longer.push_back(std::byte{0});
  Overlay overlay;
  EXPECT_EQ(errno_of([&] { OperationCodec::replay(longer, overlay); }), EIO);
}

TEST_F(OperationCodecTest, FlippedBytesNeverCrash) {
  constexpr std::uint64_t kSeed = 3;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937_64 random(kSeed);
  const Bytes payload = everything();
  // Not the offsets of data: a far one is legal and only costs memory here.
  for (int i = 0; i < 3000; ++i) {
    Bytes damaged = payload;
    for (int flips = 0; flips < 3; ++flips) {
      damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    }
    Overlay overlay;
    const int error = errno_of([&] { OperationCodec::replay(damaged, overlay); });
    EXPECT_TRUE(error == 0 || error == EIO) << error;
  }
}

TEST_F(OperationCodecTest, HeadInfoIsRecordedOnlyWhenItChanged) {
  recorded([](Transaction& transaction) {
    transaction.head_info();
    transaction.set({Ino{9}, Kind::kDirent, 300}, {});
  });
  Overlay overlay;
  OperationCodec::replay(world_.store().records().back().second, overlay);
  EXPECT_EQ(overlay.find({kHeadIno, Kind::kHeadInfo, 0}), nullptr);
  EXPECT_NE(overlay.find({Ino{9}, Kind::kDirent, 300}), nullptr);
}

/// The commit could not write such a record, and would end the daemon at each start.
TEST_F(OperationCodecTest, RefusesAValueThatNoTreeHolds) {
  const Bytes payload = recorded([](Transaction& transaction) {
    transaction.set({Ino{9}, Kind::kDirent, 300}, Bytes(kMaxValueBytes + 1));
  });
  Overlay overlay;
  EXPECT_EQ(errno_of([&] { OperationCodec::replay(payload, overlay); }), EIO);
  EXPECT_TRUE(overlay.empty());
}

/// Found by the fuzzer: an overlay of empty files took memory that nothing counted, so that no
/// limit held it.
TEST_F(OperationCodecTest, AFileWithoutBytesCountsItsMemory) {
  const Bytes payload = recorded([](Transaction& transaction) {
    for (std::uint64_t ino = 9; ino < 1009; ++ino) transaction.cut(Ino{ino}, 0);
    transaction.drop_data(Ino{1008});
  });
  Overlay overlay;
  OperationCodec::replay(payload, overlay);
  ASSERT_EQ(overlay.files().size(), 999u);
  EXPECT_GE(overlay.memory_bytes(), 999 * sizeof(FileData));
  for (std::uint64_t ino = 9; ino < 1008; ++ino) overlay.drop_data(Ino{ino});
  EXPECT_EQ(overlay.memory_bytes(), 0u);
}

}  // namespace
}  // namespace varve::test
