// SPDX-License-Identifier: Apache-2.0
#include "store/reclaim.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "store/base/error.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::DiskCall;
using test::LocalStore;
using test::random_content;
using test::text_content;

StoreOptions uncached_small() {
  StoreOptions options = LocalStore::small_options();
  options.object_cache_bytes = 0;
  options.segment_bytes = 256 << 10;
  return options;
}

LocalObjects::ReclaimLimits thorough() {
  LocalObjects::ReclaimLimits limits;
  limits.retire_from_bytes = 0;
  return limits;
}

/// As on a host that gives nothing back for holes.
LocalObjects::ReclaimLimits without_holes() {
  LocalObjects::ReclaimLimits limits = thorough();
  limits.punch_from_bytes = ~0ull;
  return limits;
}

class ReclaimTest : public ::testing::Test {
 protected:
  /// Commits `count` objects of 10,000 bytes that do not compress.
  std::vector<Digest> fill(std::uint64_t first, std::uint64_t count,
                           ObjectKind kind = ObjectKind::kData) {
    std::vector<Digest> out;
    auto batch = store_->begin();
    for (std::uint64_t i = first; i < first + count; ++i) {
      out.push_back(batch->put(random_content(i, 10'000), kind).digest);
    }
    store_.commit(std::move(batch));
    store_->checkpoint();
    return out;
  }
  void release(const std::vector<Digest>& digests, std::size_t keep_every = 0) {
    auto batch = store_->begin();
    for (std::size_t i = 0; i < digests.size(); ++i) {
      if (keep_every == 0 || i % keep_every != 0) batch->release(digests[i]);
    }
    store_.commit(std::move(batch));
  }
  std::uint64_t reclaim_all() {
    std::uint64_t freed = 0;
    for (int round = 0; round < 20; ++round) freed += store_->reclaim(thorough());
    return freed;
  }
  void expect_readable(std::uint64_t first, const std::vector<Digest>& digests,
                       std::size_t every = 1) {
    for (std::size_t i = 0; i < digests.size(); i += every) {
      EXPECT_EQ(store_.read(digests[i]), random_content(first + i, 10'000));
    }
  }

  LocalStore store_{uncached_small()};
};

TEST_F(ReclaimTest, NothingIsFreedWhileEverythingLives) {
  const auto digests = fill(0, 100);
  const auto files = store_.segment_paths();
  EXPECT_EQ(store_->reclaim(), 0u);
  EXPECT_EQ(store_.segment_paths(), files);
  expect_readable(0, digests);
}

TEST_F(ReclaimTest, DeadSegmentsAreUnlinked) {
  const auto dead = fill(0, 100);
  const auto live = fill(1000, 5);
  release(dead);
  const std::uint64_t before = store_->figures().segment_bytes;
  const std::uint64_t freed = reclaim_all();
  EXPECT_GT(freed, 900'000u);
  EXPECT_LT(store_->figures().segment_bytes, before - 900'000);
  EXPECT_EQ(store_->figures().objects, 5u);
  expect_readable(1000, live);
  store_.close_and_reopen();
  expect_readable(1000, live);
}

TEST_F(ReclaimTest, WhatAPinNeedsStays) {
  const auto digests = fill(0, 100);
  const auto pin = store_->pins().pin();
  release(digests);
  EXPECT_EQ(reclaim_all(), 0u);
  expect_readable(0, digests);
  auto later = store_->pins().pin();  // does not need them
  EXPECT_EQ(reclaim_all(), 0u);
}

TEST_F(ReclaimTest, WhatNoPinNeedsGoes) {
  const auto digests = fill(0, 100);
  auto pin = store_->pins().pin();
  release(digests);
  const auto later = store_->pins().pin();
  pin.reset();
  EXPECT_GT(reclaim_all(), 900'000u);
  EXPECT_EQ(store_->figures().objects, 0u);
}

TEST_F(ReclaimTest, AnObjectThatLivedOnlyInMemoryIsReadableUnderAPin) {
  const Digest digest = store_.commit_one(random_content(1, 10'000));
  const auto pin = store_->pins().pin();
  store_.commit_release(digest);
  store_->checkpoint();
  EXPECT_EQ(store_.read(digest), random_content(1, 10'000));
  store_.reopen();
  EXPECT_TRUE(store_->find(digest));
}

TEST_F(ReclaimTest, AnObjectThatLivedOnlyInMemoryNeverReachesTheFile) {
  const Digest digest = store_.commit_one(random_content(1, 10'000));
  store_.commit_release(digest);
  store_->checkpoint();
  EXPECT_FALSE(store_->find(digest));
  EXPECT_EQ(store_->figures().objects, 0u);
}

TEST_F(ReclaimTest, SparseSegmentsAreCompacted) {
  const auto digests = fill(0, 100);
  release(digests, 10);
  const std::uint64_t before = store_->figures().segment_bytes;
  EXPECT_GT(reclaim_all(), 0u);
  EXPECT_LT(store_->figures().segment_bytes, before / 4);
  expect_readable(0, digests, 10);
  const auto references = store_.references();
  EXPECT_EQ(references.size(), 10u);
  store_.close_and_reopen();
  EXPECT_EQ(store_.references(), references);
  expect_readable(0, digests, 10);
}

TEST_F(ReclaimTest, BothCopiesOfMetadataAreCompactedAndStayApart) {
  const auto digests = fill(0, 100, ObjectKind::kMetadata);
  release(digests, 10);
  reclaim_all();
  for (std::size_t i = 0; i < digests.size(); i += 10) {
    const auto placement = store_->find(digests[i]);
    ASSERT_TRUE(placement && placement->mirror.present());
    EXPECT_NE(placement->primary.segment, placement->mirror.segment);
    EXPECT_TRUE(store_->verify(digests[i]));
  }
  EXPECT_LT(store_->figures().segment_bytes, 2u * 100 * 10'000 / 4);
}

TEST_F(ReclaimTest, ARebuildFindsCompactedObjects) {
  const auto digests = fill(0, 100);
  release(digests, 10);
  reclaim_all();
  const auto references = store_.references();
  store_->rebuild_index("a test");
  store_.recover();
  store_->set_references(store_.csn(), [&](const auto& visit) {
    for (const auto& [digest, count] : references) visit(digest);
  });
  EXPECT_EQ(store_.references(), references);
  expect_readable(0, digests, 10);
}

TEST_F(ReclaimTest, CopyingIsLimited) {
  const auto digests = fill(0, 400);
  release(digests, 2);
  LocalObjects::ReclaimLimits limits = thorough();
  limits.copied_bytes = 1;
  std::atomic<std::uint64_t> written{0};  // to segments; the index writes as well
  store_.plan().set_hook([&](DiskCall call, const std::string& path) {
    if (call == DiskCall::kWrite && path.ends_with(".seg")) ++written;
  });
  store_->reclaim(limits);
  store_.plan().set_hook({});
  EXPECT_GT(written, 0u);
  EXPECT_LE(written, 20u);  // one segment's half, a footer
}

// On a full disk whose file system gives no holes back, compaction is what frees space. It copied
// all sparse segments before it removed one, found no room half way, and was not tried again before
// the next commit.
TEST_F(ReclaimTest, ANearlyFullHostNeedsRoomForTheCopiesOfOneSegment) {
  const auto digests = fill(0, 400);
  release(digests, 2);
  const LocalObjects::ReclaimLimits limits = without_holes();
  const std::uint64_t before = store_->figures().segment_bytes;
  std::uint64_t most = before;
  store_.plan().set_hook([&](DiskCall call, const std::string& path) {
    if (call == DiskCall::kRemove && path.ends_with(".seg")) {
      std::uint64_t bytes = 0;
      for (const std::string& file : store_.segment_paths()) {
        bytes += std::filesystem::file_size(file);
      }
      most = std::max(most, bytes);
    }
  });
  EXPECT_GT(store_->reclaim(limits), before / 3);
  store_.plan().set_hook({});
  EXPECT_EQ(store_->reclaim_rest(), ReclaimRest::kNothing);
  EXPECT_LT(most, before + (512 << 10));  // one segment beside the others
  expect_readable(0, digests, 2);
}

TEST_F(ReclaimTest, CompactionWaitsForRoom) {
  const auto digests = fill(0, 400);
  release(digests, 2);
  const LocalObjects::ReclaimLimits limits = without_holes();
  const std::uint64_t before = store_->figures().segment_bytes;
  store_.plan().set_free_bytes(100 << 10);
  store_->reclaim(limits);
  EXPECT_EQ(store_->reclaim_rest(), ReclaimRest::kWantsRoom);
  EXPECT_GT(store_->figures().segment_bytes, before * 9 / 10);
  store_.plan().clear();
  EXPECT_GT(store_->reclaim(limits), before / 3);
  EXPECT_EQ(store_->reclaim_rest(), ReclaimRest::kNothing);
  expect_readable(0, digests, 2);
}

TEST_F(ReclaimTest, SaysThatItStoppedAtALimit) {
  const auto digests = fill(0, 400);
  release(digests, 2);
  LocalObjects::ReclaimLimits limits = thorough();
  limits.copied_bytes = 1;
  int rounds = 0;
  do {
    store_->reclaim(limits);
    ASSERT_LT(++rounds, 100);
  } while (store_->reclaim_rest() == ReclaimRest::kMore);
  EXPECT_GT(rounds, 3);
  EXPECT_EQ(store_->reclaim(limits), 0u);
  EXPECT_LT(store_->figures().segment_bytes, store_->figures().live_bytes * 3 / 2);
}

TEST_F(ReclaimTest, PurgingIsLimited) {
  const auto digests = fill(0, 50);
  release(digests);
  LocalObjects::ReclaimLimits limits = thorough();
  limits.purged_objects = 20;
  store_->reclaim(limits);
  EXPECT_EQ(store_->figures().objects, 30u);
  store_->reclaim(limits);
  store_->reclaim(limits);
  EXPECT_EQ(store_->figures().objects, 0u);
}

TEST_F(ReclaimTest, AnObjectThatABatchCountsOnIsNotPurged) {
  const auto digests = fill(0, 3);
  release(digests);
  auto batch = store_->begin();
  batch->put(random_content(1, 10'000), ObjectKind::kData);  // onto a dead object
  reclaim_all();
  EXPECT_EQ(store_->figures().objects, 1u);
  store_.commit(std::move(batch));
  EXPECT_EQ(store_.read(digests[1]), random_content(1, 10'000));
  EXPECT_EQ(store_.references(), (std::map<Digest, std::uint64_t>{{digests[1], 1}}));
}

TEST_F(ReclaimTest, SegmentsOfAnOpenBatchAreNotUnlinked) {
  auto batch = store_->begin();
  std::vector<Digest> digests;
  for (std::uint64_t i = 0; i < 100; ++i) {
    digests.push_back(batch->put(random_content(i, 10'000), ObjectKind::kData).digest);
  }
  EXPECT_EQ(reclaim_all(), 0u);
  store_.commit(std::move(batch));
  expect_readable(0, digests);
}

TEST_F(ReclaimTest, SegmentsOfADroppedBatchAreUnlinked) {
  auto batch = store_->begin();
  for (std::uint64_t i = 0; i < 100; ++i) batch->put(random_content(i, 10'000), ObjectKind::kData);
  batch.reset();
  EXPECT_GT(reclaim_all(), 900'000u);
  EXPECT_TRUE(store_.segment_paths().empty());
}

TEST_F(ReclaimTest, SegmentsOfACrashedBatchAreUnlinkedAtTheNextStart) {
  auto batch = store_->begin();
  batch->put(random_content(1, 10'000), ObjectKind::kData);
  batch.reset();
  EXPECT_FALSE(store_.segment_paths().empty());
  store_.reopen();
  EXPECT_TRUE(store_.segment_paths().empty());
}

TEST_F(ReclaimTest, ACrashBeforeTheUnlinkLeavesFilesThatTheNextRoundRemoves) {
  const auto dead = fill(0, 100);
  const auto live = fill(1000, 5);
  release(dead);
  store_.plan().fail(DiskCall::kRemove, 1, EIO, true, ".seg");
  EXPECT_THROW(store_->reclaim(), StoreError);
  store_.plan().clear();
  store_.reopen();
  expect_readable(1000, live);
  EXPECT_GT(reclaim_all(), 0u);
  EXPECT_LT(store_->figures().segment_bytes, 300'000u);
  expect_readable(1000, live);
}

TEST_F(ReclaimTest, AFailureAtEachStepLosesNothing) {
  struct Fault {
    DiskCall call;
    int code;
  };
  for (const Fault& fault : {Fault{DiskCall::kWrite, ENOSPC}, Fault{DiskCall::kWrite, EIO},
                             Fault{DiskCall::kOpen, ENOSPC}, Fault{DiskCall::kRead, ENOMEM},
                             Fault{DiskCall::kSync, EIO}, Fault{DiskCall::kRemove, EIO}}) {
    for (const std::uint64_t nth : {1u, 2u, 3u, 8u}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(fault.call)) + " call " + std::to_string(nth));
      LocalStore store(uncached_small());
      std::vector<Digest> digests;
      auto batch = store->begin();
      for (std::uint64_t i = 0; i < 100; ++i) {
        digests.push_back(batch->put(random_content(i, 10'000), ObjectKind::kData).digest);
      }
      store.commit(std::move(batch));
      store->checkpoint();
      batch = store->begin();
      for (std::size_t i = 0; i < digests.size(); ++i) {
        if (i % 10 != 0) batch->release(digests[i]);
      }
      store.commit(std::move(batch));
      const auto references = store.references();
      store.plan().fail(fault.call, nth, fault.code, true, ".seg");
      try {
        store->reclaim(thorough());
      } catch (const StoreError&) {
        // some of these are the caller's to know
      }
      store.plan().clear();
      store.reopen();
      EXPECT_EQ(store.references(), references);
      for (std::size_t i = 0; i < digests.size(); i += 10) {
        EXPECT_EQ(store.read(digests[i]), random_content(i, 10'000));
      }
      for (int round = 0; round < 5; ++round) store->reclaim(thorough());
      EXPECT_LT(store->figures().segment_bytes, 400'000u);
      for (std::size_t i = 0; i < digests.size(); i += 10) {
        EXPECT_EQ(store.read(digests[i]), random_content(i, 10'000));
      }
    }
  }
}

TEST_F(ReclaimTest, ADamagedRecordKeepsItsSegment) {
  const auto digests = fill(0, 40);
  release(digests, 10);
  const Location place = store_->find(digests[10])->primary;
  const std::string path = store_.paths().segments + "/" + segment_file_name(place.segment);
  test::flip_bit(path, place.offset + kRecordHeaderBytes + 5);
  reclaim_all();
  EXPECT_TRUE(store_.disk().exists(path));
  EXPECT_EQ(store_->damaged(), std::vector<Digest>{digests[10]});
  EXPECT_EQ(store_.read(digests[0]), random_content(0, 10'000));
  EXPECT_EQ(store_.read(digests[20]), random_content(20, 10'000));
}

TEST_F(ReclaimTest, CompactionRepairsADamagedCopyFromTheSecondOne) {
  const auto digests = fill(0, 40, ObjectKind::kMetadata);
  release(digests, 10);
  const Location place = store_->find(digests[10])->primary;
  const std::string path = store_.paths().segments + "/" + segment_file_name(place.segment);
  test::flip_bit(path, place.offset + kRecordHeaderBytes + 5);
  reclaim_all();
  EXPECT_FALSE(store_.disk().exists(path));
  EXPECT_TRUE(store_->verify(digests[10]));
  EXPECT_EQ(store_.read(digests[10]), random_content(10, 10'000));
}

TEST_F(ReclaimTest, OverwritingManyTimesReturnsTheSpace) {
  auto live = fill(0, 100);
  for (std::uint64_t round = 1; round <= 10; ++round) {
    auto batch = store_->begin();
    std::vector<Digest> next;
    for (std::uint64_t i = 0; i < 100; ++i) {
      next.push_back(
          batch->put(random_content(round * 1000 + i, 10'000), ObjectKind::kData).digest);
    }
    for (const Digest& digest : live) batch->release(digest);
    store_.commit(std::move(batch));
    live = next;
    store_->reclaim(thorough());
  }
  reclaim_all();
  EXPECT_LT(store_->figures().segment_bytes, 100u * 10'000 * 3 / 2);
  expect_readable(10'000, live);
}

}  // namespace
}  // namespace varve
