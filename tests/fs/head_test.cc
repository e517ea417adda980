// SPDX-License-Identifier: Apache-2.0
#include "fs/head.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

using testing::ElementsAre;

class HeadTest : public testing::Test {
 protected:
  Head& head() { return world_.head(); }
  void set(std::uint64_t sub, const std::optional<std::string>& value) {
    head().run([&] {
      Transaction transaction(head());
      if (value) {
        const ByteView bytes = as_bytes(*value);
        transaction.set(key(sub), Bytes(bytes.begin(), bytes.end()));
      } else {
        transaction.erase(key(sub));
      }
      transaction.commit();
    });
  }
  std::string get(std::uint64_t sub) {
    return head().run([&] {
      head().gate().assert_held();
      const std::optional<Bytes> found = head().find(key(sub));
      return found ? std::string(as_text(*found)) : std::string("none");
    });
  }
  /// "sub=value" of every record of inode 50 in [first, last).
  std::vector<std::string> scan(std::uint64_t first, std::uint64_t last, std::size_t most = 1000) {
    return head().run([&] {
      head().gate().assert_held();
      std::vector<std::string> out;
      head().scan(key(first), key(last), [&](const Key& found, ByteView value) {
        out.push_back(std::to_string(found.sub) + "=" + std::string(as_text(value)));
        return out.size() < most;
      });
      return out;
    });
  }
  static Key key(std::uint64_t sub) { return {Ino{50}, Kind::kDirent, sub}; }

  VolumeWorld world_;
};

TEST_F(HeadTest, ShowsTheNewestOfAllLayers) {
  set(1, "base");
  set(2, "base");
  set(3, "base");
  set(4, "base");
  world_.commit();
  set(2, "frozen");
  set(3, std::nullopt);
  set(5, "frozen");
  world_.freeze();
  set(3, "newer");
  set(5, std::nullopt);
  world_.freeze();
  set(4, std::nullopt);
  set(6, "active");
  EXPECT_EQ(get(1), "base");
  EXPECT_EQ(get(2), "frozen");
  EXPECT_EQ(get(3), "newer");
  EXPECT_EQ(get(4), "none");
  EXPECT_EQ(get(5), "none");
  EXPECT_EQ(get(6), "active");
  EXPECT_THAT(scan(0, 100), ElementsAre("1=base", "2=frozen", "3=newer", "6=active"));
  world_.commit();
  EXPECT_THAT(scan(0, 100), ElementsAre("1=base", "2=frozen", "3=newer", "6=active"));
}

TEST_F(HeadTest, ScansHalfOpenRangesAndStopsWhenTold) {
  for (std::uint64_t i = 0; i < 10; ++i) {
    set(i, "x");
    if (i == 4) world_.commit();
  }
  EXPECT_THAT(scan(3, 6), ElementsAre("3=x", "4=x", "5=x"));
  EXPECT_THAT(scan(3, 100, 2), ElementsAre("3=x", "4=x"));
  EXPECT_THAT(scan(4, 100, 3), ElementsAre("4=x", "5=x", "6=x"));
  EXPECT_TRUE(scan(6, 6).empty());
  EXPECT_TRUE(scan(7, 6).empty());
}

TEST_F(HeadTest, TransactionsSeeTheirOwnChangesAndLeaveNoTraceWithoutCommit) {
  set(1, "old");
  set(2, "old");
  head().run([&] {
    Transaction transaction(head());
    transaction.set(key(1), Bytes{});
    transaction.erase(key(2));
    transaction.set(key(3), Bytes{});
    EXPECT_TRUE(transaction.find(key(1))->empty());
    EXPECT_FALSE(transaction.find(key(2)).has_value());
    std::vector<std::uint64_t> subs;
    transaction.scan(key(0), key(10), [&](const Key& found, ByteView) {
      subs.push_back(found.sub);
      return true;
    });
    EXPECT_THAT(subs, ElementsAre(1u, 3u));
  });
  EXPECT_THAT(scan(0, 10), ElementsAre("1=old", "2=old"));
}

TEST_F(HeadTest, TransactionsWithoutChangesWriteNothing) {
  const std::size_t before = world_.store().records().size();
  head().run([&] {
    Transaction transaction(head());
    transaction.head_info();
    transaction.commit();
  });
  EXPECT_EQ(world_.store().records().size(), before);
}

TEST_F(HeadTest, RunsABodyAgainUntilNothingIsMissing) {
  for (std::uint64_t i = 0; i < 300; ++i) set(i, "value" + std::to_string(i));
  world_.commit();
  world_.remount();
  world_.store().memory().refuse_first_touch(true);
  world_.crash();  // an empty node cache
  world_.store().memory().refuse_first_touch(true);
  int runs = 0;
  head().run([&] {
    head().gate().assert_held();
    ++runs;
    head().find(key(150));
  });
  EXPECT_GT(runs, 1);
  EXPECT_EQ(get(150), "value150");
}

TEST_F(HeadTest, DamagedNodesAreErrorsOfTheOperation) {
  for (std::uint64_t i = 0; i < 300; ++i) set(i, "value");
  world_.commit();
  world_.crash();
  world_.store().memory().damage(world_.root()->digest);
  EXPECT_EQ(errno_of([&] { get(1); }), EIO);
}

TEST_F(HeadTest, FreezesNothingWhenNothingChanged) {
  world_.commit();
  EXPECT_FALSE(head().freeze(false, {}).has_value());
  EXPECT_EQ(head().first_uncommitted_lsn(), std::nullopt);
  EXPECT_EQ(head().dirty_bytes(), 0u);
}

TEST_F(HeadTest, CutStandsBetweenOldAndNewOperations) {
  world_.commit();
  set(1, "old");
  const Lsn first = *head().first_uncommitted_lsn();
  bool at_cut = false;
  const std::optional<Frozen> frozen = head().freeze(false, [&] { at_cut = true; });
  ASSERT_TRUE(frozen.has_value());
  EXPECT_TRUE(at_cut);
  EXPECT_EQ(frozen->overlay->first_lsn, first);
  EXPECT_EQ(frozen->cut_lsn, world_.store().journal().end());
  set(2, "new");
  EXPECT_EQ(head().first_uncommitted_lsn(), first);
  EXPECT_TRUE(world_.commit_frozen());
  EXPECT_EQ(*head().first_uncommitted_lsn(), frozen->cut_lsn);
}

TEST_F(HeadTest, EmptyGenerationKeepsTheRecordOfItsCut) {
  world_.commit();
  Lsn snapshot = 0;
  const auto frozen = head().freeze(true, [&] {
    snapshot = world_.store().journal().append(JournalType::kSnapshot, {as_bytes("cut")});
  });
  ASSERT_TRUE(frozen.has_value());
  EXPECT_LE(*frozen->overlay->first_lsn, snapshot);
  EXPECT_GT(frozen->cut_lsn, snapshot);
  EXPECT_LE(*head().first_uncommitted_lsn(), snapshot);
  EXPECT_TRUE(world_.commit_frozen());
}

TEST_F(HeadTest, FailedCutFreezesNothing) {
  set(1, "old");
  EXPECT_EQ(errno_of([&] { head().freeze(false, [] { throw StoreError(EIO, "cut"); }); }), EIO);
  EXPECT_EQ(get(1), "old");
  EXPECT_TRUE(head().freeze(false, {}).has_value());
}

TEST_F(HeadTest, ClosedGateHoldsOperationsUntilItOpens) {
  head().close_gate();
  std::thread writer([&] { set(1, "late"); });
  NodeCache cache(world_.store().objects(), 1 << 20);
  head().reset(std::make_shared<const Base>(Base{Tree(cache, std::nullopt), nullptr}));
  EXPECT_EQ(head().dirty_bytes(), 0u) << "the writer waits outside";
  head().open_gate();
  writer.join();
  EXPECT_EQ(get(1), "late");
  EXPECT_THAT(world_.records().size(), 1u) << "everything older is forgotten";
}

TEST_F(HeadTest, CountsDirtyBytesUpAndDown) {
  world_.commit();
  set(1, std::string(10'000, 'x'));
  const std::size_t one = head().dirty_bytes();
  EXPECT_GE(one, 10'000u);
  set(1, std::string(100, 'x'));
  EXPECT_LT(head().dirty_bytes(), one);
  const Ino a = world_.volume().make_node(kRootIno, "a", 0644, 0, {}).ino;
  world_.volume().write(a, 0, Bytes(1 << 20, std::byte{1}), false);
  EXPECT_GE(head().dirty_bytes(), 1u << 20);
  world_.volume().unlink(kRootIno, "a");
  world_.volume().forget(a, 1);
  EXPECT_LT(head().dirty_bytes(), 100'000u);
}

}  // namespace
}  // namespace varve::test
