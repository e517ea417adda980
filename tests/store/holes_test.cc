// SPDX-License-Identifier: Apache-2.0
// Dead runs inside segments become holes, and nobody ever reads one.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "store/base/error.h"
#include "store/segment_format.h"
#include "store/segment_scan.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::DiskCall;
using test::LocalStore;
using test::random_content;

constexpr std::size_t kObjectBytes = 20'000;

StoreOptions holes_options() {
  StoreOptions options = LocalStore::small_options();
  options.object_cache_bytes = 0;
  options.segment_bytes = 1 << 20;
  return options;
}

LocalObjects::ReclaimLimits holes_only() {
  LocalObjects::ReclaimLimits limits;
  limits.retire_from_bytes = 0;
  limits.compact_below_live_percent = 0;
  limits.punch_from_bytes = 64 << 10;
  limits.punch_run_bytes = 16 << 10;
  return limits;
}

class HolesTest : public ::testing::Test {
 protected:
  /// A sealed segment of `count` objects of which those from `first` to `last` die.
  void fill_and_kill(std::uint64_t count, std::uint64_t first, std::uint64_t last) {
    auto batch = store_->begin();
    for (std::uint64_t i = 0; i < count; ++i) {
      digests_.push_back(batch->put(random_content(i, kObjectBytes), ObjectKind::kData).digest);
    }
    store_.commit(std::move(batch));
    store_.close_and_reopen();
    batch = store_->begin();
    for (std::uint64_t i = first; i < last; ++i) batch->release(digests_[i]);
    store_.commit(std::move(batch));
    first_ = first;
    last_ = last;
  }
  std::uint64_t allocated() {
    std::uint64_t bytes = 0;
    for (const std::string& path : store_.segment_paths()) {
      struct stat status {};
      ::stat(path.c_str(), &status);
      bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    return bytes;
  }
  void expect_survivors() {
    for (std::uint64_t i = 0; i < digests_.size(); ++i) {
      if (first_ <= i && i < last_) continue;
      EXPECT_EQ(store_.read(digests_[i]), random_content(i, kObjectBytes)) << i;
      EXPECT_TRUE(store_->verify(digests_[i]));
    }
  }

  LocalStore store_{holes_options()};
  std::vector<Digest> digests_;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
};

TEST_F(HolesTest, ADeadRunGivesItsBlocksBack) {
  fill_and_kill(48, 10, 30);
  const std::uint64_t before = allocated();
  const std::uint64_t figure = store_->figures().segment_bytes;
  const std::uint64_t freed = store_->reclaim(holes_only());
  EXPECT_GT(freed, 19 * kObjectBytes);
  EXPECT_LT(allocated() + 19 * kObjectBytes, before);
  EXPECT_EQ(store_->figures().segment_bytes + freed, figure);
  expect_survivors();
  EXPECT_EQ(store_->reclaim(holes_only()), 0u);  // nothing is left to give
  store_.close_and_reopen();
  EXPECT_EQ(store_->figures().segment_bytes + freed, figure);
  expect_survivors();
}

TEST_F(HolesTest, NothingIsPunchedUnderAPinOrAHold) {
  fill_and_kill(48, 10, 30);
  auto pin = store_->pins().pin_at(store_.csn() - 1);
  EXPECT_EQ(store_->reclaim(holes_only()), 0u);
  pin.reset();
  auto batch = store_->begin();
  for (std::uint64_t i = 10; i < 30; ++i) {  // deduplicated onto the dead
    batch->put(random_content(i, kObjectBytes), ObjectKind::kData);
  }
  EXPECT_EQ(store_->reclaim(holes_only()), 0u);
  store_.commit(std::move(batch));
  EXPECT_EQ(store_->reclaim(holes_only()), 0u);
  first_ = last_ = 0;
  expect_survivors();
}

TEST_F(HolesTest, ARebuiltIndexDoesNotKnowWhatWasPunched) {
  fill_and_kill(48, 10, 30);
  ASSERT_GT(store_->reclaim(holes_only()), 0u);
  const auto references = store_.references();
  store_->rebuild_index("a test");
  store_.recover();
  store_->set_references(store_.csn(), [&](const auto& visit) {
    for (const auto& [digest, count] : references) visit(digest);
  });
  for (std::uint64_t i = 10; i < 30; ++i) EXPECT_FALSE(store_->find(digests_[i])) << i;
  // New writes of what is gone are stored again.
  auto batch = store_->begin();
  for (std::uint64_t i = 10; i < 30; ++i) {
    batch->put(random_content(i, kObjectBytes), ObjectKind::kData);
  }
  store_.commit(std::move(batch));
  first_ = last_ = 0;
  expect_survivors();
}

TEST_F(HolesTest, ACrashAtEachStepLosesNothing) {
  for (const DiskCall call :
       {DiskCall::kWrite, DiskCall::kTruncate, DiskCall::kSync, DiskCall::kPunch}) {
    SCOPED_TRACE(static_cast<int>(call));
    LocalStore store(holes_options());
    std::vector<Digest> digests;
    auto batch = store->begin();
    for (std::uint64_t i = 0; i < 48; ++i) {
      digests.push_back(batch->put(random_content(i, kObjectBytes), ObjectKind::kData).digest);
    }
    store.commit(std::move(batch));
    store.close_and_reopen();
    batch = store->begin();
    for (std::uint64_t i = 10; i < 30; ++i) batch->release(digests[i]);
    store.commit(std::move(batch));
    store.plan().fail(call, 1, EIO, true, ".seg");
    EXPECT_THROW(store->reclaim(holes_only()), StoreError);
    store.plan().clear();
    store.reopen();
    const auto references = store.references();
    store->rebuild_index("a test");
    store.recover();
    store->set_references(store.csn(), [&](const auto& visit) {
      for (const auto& [digest, count] : references) visit(digest);
    });
    for (std::uint64_t i = 0; i < 48; ++i) {
      if (10 <= i && i < 30) continue;
      EXPECT_EQ(store.read(digests[i]), random_content(i, kObjectBytes));
    }
    store->reclaim(holes_only());
    EXPECT_TRUE(store->damaged().empty());
  }
}

TEST_F(HolesTest, AHostWithoutHolesIsAskedOnce) {
  fill_and_kill(48, 10, 30);
  store_.plan().fail(DiskCall::kPunch, 1, EOPNOTSUPP, true);
  EXPECT_EQ(store_->reclaim(holes_only()), 0u);
  const std::uint64_t asked = store_.plan().count(DiskCall::kPunch);
  EXPECT_EQ(asked, 1u);
  auto batch = store_->begin();
  for (std::uint64_t i = 30; i < 40; ++i) batch->release(digests_[i]);
  last_ = 40;
  store_.commit(std::move(batch));
  store_->reclaim(holes_only());
  EXPECT_EQ(store_.plan().count(DiskCall::kPunch), asked);
  // Compaction still gives the space back.
  LocalObjects::ReclaimLimits limits = holes_only();
  limits.compact_below_live_percent = 90;
  for (int i = 0; i < 5; ++i) store_->reclaim(limits);
  EXPECT_LT(store_->figures().segment_bytes, 24 * kObjectBytes);
  expect_survivors();
}

TEST_F(HolesTest, ShortRunsStay) {
  fill_and_kill(48, 10, 11);
  EXPECT_EQ(store_->reclaim(holes_only()), 0u);
  EXPECT_EQ(store_.plan().count(DiskCall::kPunch), 0u);
}

TEST_F(HolesTest, APunchedSegmentIsNotCompactedForItsHoles) {
  fill_and_kill(48, 10, 30);
  LocalObjects::ReclaimLimits limits = holes_only();
  limits.compact_below_live_percent = 70;  // 28 of 48 are alive
  ASSERT_GT(store_->reclaim(limits), 0u);
  EXPECT_EQ(store_.segment_paths().size(), 1u);
  expect_survivors();
}

/// A reader that looked up a place before it was punched looks again.
TEST_F(HolesTest, AReaderThatComesLateLooksAgain) {
  fill_and_kill(48, 10, 30);
  const Digest digest = digests_[20];
  const std::string path = store_.segment_paths().front();
  bool armed = true;
  // Between the lookup and the read of the dead object everything is punched, and it is born again
  // elsewhere.
  store_.plan().set_hook([&](DiskCall call, const std::string& at) {
    if (call != DiskCall::kRead || at != path || !armed) return;
    armed = false;
    store_->reclaim(holes_only());
    store_.commit_one(random_content(20, kObjectBytes));
  });
  EXPECT_EQ(store_.read(digest), random_content(20, kObjectBytes));
  store_.plan().set_hook(nullptr);  // it sees this function's variables
  EXPECT_FALSE(armed);
  EXPECT_TRUE(store_->damaged().empty());
}

}  // namespace
}  // namespace varve
