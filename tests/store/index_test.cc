// SPDX-License-Identifier: Apache-2.0
#include "store/index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "store/base/error.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

Digest digest_number(std::uint64_t number) {
  return digest_of({reinterpret_cast<const std::byte*>(&number), sizeof number});
}

class IndexTest : public ::testing::Test {
 protected:
  IndexTest() {
    store_.fill(std::byte{3});
    IndexDatabase::create(disk_, path_, store_);
    open();
  }
  void open(const IndexLimits& limits = IndexLimits()) {
    index_.reset();
    index_ = std::make_unique<Index>(disk_, path_, store_, pins_, limits);
  }
  /// Births of the digests `first` ..< `last` in segment `segment`.
  CommitDelta births(std::uint64_t first, std::uint64_t last, SegmentId segment = 1) {
    CommitDelta delta;
    delta.csn = ++csn_;
    for (std::uint64_t i = first; i < last; ++i) {
      Placement placement{{segment, 64 + i * 100}, {}, 100, 36, ObjectKind::kData};
      delta.births.push_back({digest_number(i), placement, 1, false});
    }
    sort(delta.births);
    return delta;
  }
  CommitDelta releases(std::uint64_t first, std::uint64_t last) {
    CommitDelta delta;
    delta.csn = ++csn_;
    for (std::uint64_t i = first; i < last; ++i) delta.releases.push_back({digest_number(i), 1});
    sort(delta.releases);
    return delta;
  }
  template <class Entries>
  static void sort(Entries& entries) {
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.digest < b.digest; });
  }
  void apply(const CommitDelta& delta) {
    index_->apply(delta);
    pins_.advance(delta.csn);
  }

  test::TempDirectory directory_;
  test::FaultDisk disk_;
  const std::string path_ = directory_ / "index.db";
  StoreId store_{};
  ReadPins pins_;
  std::unique_ptr<Index> index_;
  Csn csn_ = 0;
};

TEST_F(IndexTest, FindsObjectsBeforeAndAfterTheyAreWritten) {
  apply(births(0, 100));
  for (int round = 0; round < 2; ++round) {
    for (std::uint64_t i = 0; i < 100; ++i) {
      const auto state = index_->find(digest_number(i));
      ASSERT_TRUE(state);
      EXPECT_EQ(state->refs, 1u);
      EXPECT_EQ(state->placement.primary, (Location{1, 64 + i * 100}));
    }
    EXPECT_FALSE(index_->find(digest_number(100)));
    index_->flush();
  }
  open();
  EXPECT_TRUE(index_->find(digest_number(7)));
  EXPECT_FALSE(index_->find(digest_number(100)));
}

TEST_F(IndexTest, WithoutAWriteACrashLosesWhatTheJournalBringsBack) {
  apply(births(0, 10));
  index_->flush();
  apply(births(10, 20));
  open();
  EXPECT_EQ(index_->applied_csn(), 1u);
  EXPECT_TRUE(index_->find(digest_number(5)));
  EXPECT_FALSE(index_->find(digest_number(15)));
}

TEST_F(IndexTest, CheckpointedGrowsOnlyWithACheckpoint) {
  apply(births(0, 10));
  index_->flush();
  EXPECT_EQ(index_->checkpointed_csn(), 0u);
  EXPECT_EQ(index_->applied_csn(), 1u);
  index_->checkpoint();
  EXPECT_EQ(index_->checkpointed_csn(), 1u);
}

TEST_F(IndexTest, ManyChangesAreWrittenWithoutBeingAsked) {
  IndexLimits limits;
  limits.flush_objects = 100;
  limits.backlog_objects = 200;
  limits.log_pages = 1;
  open(limits);
  for (std::uint64_t i = 0; i < 50; ++i) apply(births(i * 60, i * 60 + 60));
  EXPECT_LT(index_->figures().backlog_objects, 400u);
  index_->close();
  open();
  EXPECT_EQ(index_->applied_csn(), 50u);
  EXPECT_EQ(index_->figures().objects, 3000u);
  EXPECT_EQ(index_->live_bytes(), (std::map<SegmentId, std::uint64_t>{{1, 300'000}}));
}

TEST_F(IndexTest, LiveBytesFollowPurgeAndRelocation) {
  apply(births(0, 10, 1));
  apply(births(10, 20, 2));
  index_->flush();
  apply(releases(0, 5));
  index_->flush();
  EXPECT_EQ(index_->live_bytes().at(1), 1000u);  // dead, and not purged
  EXPECT_EQ(index_->purge(pins_.horizon(), 1000), 5u);
  EXPECT_EQ(index_->live_bytes().at(1), 500u);
  std::vector<Index::Move> moves;
  for (std::uint64_t i = 0; i < 10; ++i) {  // of the purged ones too
    moves.push_back({digest_number(i), {1, 64 + i * 100}, {9, 64 + i * 100}});
  }
  index_->relocate(moves);
  const std::map<SegmentId, std::uint64_t> expected{{2, 1000}, {9, 500}};
  EXPECT_EQ(index_->live_bytes(), expected);
  EXPECT_FALSE(index_->find(digest_number(0)));
  EXPECT_EQ(index_->find(digest_number(7))->placement.primary.segment, 9u);
  index_->checkpoint();
  open();
  EXPECT_EQ(index_->live_bytes(), expected);
  EXPECT_FALSE(index_->find(digest_number(0)));
  EXPECT_EQ(index_->find(digest_number(7))->placement.primary.segment, 9u);
  EXPECT_EQ(index_->figures().objects, 15u);
  EXPECT_EQ(index_->figures().referenced_bytes, 1500u);
}

TEST_F(IndexTest, ARelocationFromElsewhereIsIgnored) {
  apply(births(0, 1, 1));
  index_->relocate({{digest_number(0), {7, 64}, {9, 64}}});
  EXPECT_EQ(index_->find(digest_number(0))->placement.primary.segment, 1u);
}

TEST_F(IndexTest, ARelocationBetweenCheckAndCommitIsKept) {
  apply(births(0, 1, 1));
  CommitDelta delta;
  delta.csn = ++csn_;
  delta.births.push_back({digest_number(0), {}, 1, false});
  index_->validate(delta);
  index_->relocate({{digest_number(0), {1, 64}, {9, 64}}});
  apply(delta);
  EXPECT_EQ(index_->find(digest_number(0))->placement.primary.segment, 9u);
  EXPECT_EQ(index_->find(digest_number(0))->refs, 2u);
}

TEST_F(IndexTest, AWriteBetweenCheckAndCommitLosesNothing) {
  apply(births(0, 1));
  const CommitDelta delta = releases(0, 1);
  index_->validate(delta);
  index_->flush();  // the object has a row from here on
  apply(delta);
  index_->flush();
  EXPECT_EQ(index_->find(digest_number(0))->refs, 0u);
  EXPECT_EQ(index_->purge(pins_.horizon(), 10), 1u);
  index_->flush();
  EXPECT_FALSE(index_->find(digest_number(0)));
  EXPECT_TRUE(index_->live_bytes().empty());
}

TEST_F(IndexTest, PurgeLeavesWhatIsHeldOrDiedLater) {
  apply(births(0, 4));
  index_->flush();
  apply(releases(0, 2));
  const auto pin = pins_.pin();
  apply(releases(2, 4));
  index_->flush();
  const Digest held = digest_number(0);
  ASSERT_TRUE(index_->find_and_hold(held));
  EXPECT_EQ(index_->purge(pins_.horizon(), 10), 1u);
  index_->release_hold(held);
  EXPECT_EQ(index_->purge(pins_.horizon(), 10), 1u);
  EXPECT_TRUE(index_->find(digest_number(2)));
  EXPECT_FALSE(index_->find(held));
  EXPECT_FALSE(index_->find_and_hold(held));
}

TEST_F(IndexTest, APurgedObjectMayBeBornAgain) {
  apply(births(0, 1, 1));
  index_->flush();
  apply(releases(0, 1));
  index_->flush();
  EXPECT_EQ(index_->purge(pins_.horizon(), 10), 1u);
  apply(births(0, 1, 5));
  index_->checkpoint();
  open();
  EXPECT_EQ(index_->find(digest_number(0))->placement.primary.segment, 5u);
  EXPECT_EQ(index_->live_bytes(), (std::map<SegmentId, std::uint64_t>{{5, 100}}));
  EXPECT_EQ(index_->figures().objects, 1u);
}

TEST_F(IndexTest, SealedSegmentsAndTheLastIdAreRemembered) {
  index_->note_sealed(4, 1234);
  index_->note_sealed(5, 99);
  index_->note_last_segment(8);
  index_->flush();
  index_->forget_segment(5);
  index_->checkpoint();
  open();
  EXPECT_EQ(index_->sealed_at_open(), (std::map<SegmentId, std::uint64_t>{{4, 1234}}));
  EXPECT_EQ(index_->last_segment_at_open(), 8u);
}

TEST_F(IndexTest, AMissingIndexIsAnError) {
  index_.reset();
  try {
    Index index(disk_, directory_ / "absent.db", store_, pins_);
    FAIL();
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), ENOENT);
  }
  EXPECT_FALSE(disk_.exists(directory_ / "absent.db"));
}

TEST_F(IndexTest, AnIndexMarkedAsDamagedIsNotOpened) {
  index_.reset();
  disk_.open(index_damage_mark(path_), Disk::Mode::kCreateNew);
  EXPECT_THROW(open(), CorruptionError);
}

TEST_F(IndexTest, LookupsRunBesideCommitsAndWrites) {
  IndexLimits limits;
  limits.flush_objects = 50;
  open(limits);
  std::atomic<std::uint64_t> known{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      std::uint64_t i = 0;
      while (!done.load()) {
        const std::uint64_t limit = known.load();
        if (limit == 0) continue;
        EXPECT_TRUE(index_->find(digest_number(i++ % limit)));
        const Digest digest = digest_number(i % limit);
        ASSERT_TRUE(index_->find_and_hold(digest));
        index_->release_hold(digest);
      }
    });
  }
  for (std::uint64_t round = 0; round < 60; ++round) {
    apply(births(round * 40, round * 40 + 40));
    known.store(round * 40 + 40);
    if (round % 7 == 0) index_->flush();
  }
  done.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(index_->figures().objects, 2400u);
}

// It was taken for a full disk and tried again: the second flush says that all is well, and what
// the first could not write is gone.
TEST_F(IndexTest, AFlushThatSaysThatTheDiskIsFullIsNotTriedAgain) {
  index_->apply(births(0, 10));
  disk_.plan().fail(test::DiskCall::kSync, 1, ENOSPC, false, path_);
  for (int i = 0; i < 2; ++i) {
    try {
      index_->checkpoint();
      ADD_FAILURE() << "a failed flush was forgotten";
    } catch (const StoreError& error) {
      EXPECT_EQ(error.code(), EIO);
    }
  }
  EXPECT_EQ(disk_.plan().failures(), 1u);
  EXPECT_EQ(index_->checkpointed_csn(), 0u);
}

// A store whose disk another program had filled could not be opened, so nothing could be removed.
TEST_F(IndexTest, OpensOnAFullDiskWithTheLogThatACrashLeft) {
  apply(births(0, 100));
  index_->flush();
  const std::string crashed = directory_ / "crashed.db";
  for (const std::string suffix : {"", "-wal"})
    std::filesystem::copy_file(path_ + suffix, crashed + suffix);
  ASSERT_GT(std::filesystem::file_size(crashed + "-wal"), 0u);
  disk_.plan().fail(test::DiskCall::kWrite, 1, ENOSPC, true, "crashed.db");
  Index index(disk_, crashed, store_, pins_, IndexLimits());
  EXPECT_GT(disk_.plan().failures(), 0u);
  EXPECT_TRUE(index.find(digest_number(99)));
  EXPECT_EQ(index.checkpointed_csn(), 0u) << "the log is nowhere but in memory";
  disk_.plan().clear();
  index.checkpoint();
  EXPECT_EQ(index.checkpointed_csn(), csn_);
}

}  // namespace
}  // namespace varve
