// SPDX-License-Identifier: Apache-2.0
// What a durable write costs the device: flushes and journal bytes are counted, nothing is timed.
#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "tests/support/damaged_store.h"

namespace varve::test {
namespace {

class FsyncCost : public testing::Test {
 protected:
  static constexpr std::size_t kPage = 8192;
  static constexpr std::uint64_t kPages = 2048;

  void SetUp() override {
    store_.create_volume("db");
    write_file(*store_->attach("db"), "f", pattern(kPages * kPage, 1));
    store_.settle();
    volume_ = store_->attach("db");
    ino_ = volume_->lookup(kRootIno, "f").value().ino;
    before_ = store_->figures();
  }
  void TearDown() override { volume_.reset(); }

  /// As a database changes a page: `count` times.
  void change_pages(unsigned seed, int count) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < count; ++i) {
      const Bytes page = pattern(kPage, static_cast<unsigned>(random()));
      volume_->write(ino_, random() % kPages * kPage, page, false);
      volume_->fsync(ino_);
    }
  }
  DamagedStore store_;
  std::shared_ptr<Volume> volume_;
  Ino ino_{};
  StoreFigures before_;
};

TEST_F(FsyncCost, OneFlushAndLittleMoreThanThePageForEach) {
  constexpr int kCount = 300;
  change_pages(1, kCount);
  const StoreFigures after = store_->figures();
  EXPECT_LE(static_cast<double>(after.device_flushes - before_.device_flushes), 1.1 * kCount);
  EXPECT_GE(after.device_flushes - before_.device_flushes, 1u * kCount)
      << "nothing was made durable";
  EXPECT_LE(after.journal_appended_bytes - before_.journal_appended_bytes, 13u * 1024 * kCount);
  EXPECT_EQ(after.segment_bytes, before_.segment_bytes) << "a chunk was written under the caller";
}

/// Those that wait at the same time share flushes.
TEST_F(FsyncCost, SeveralAtOnceNeedNoMoreFlushesThanTheyAre) {
  constexpr int kThreads = 8, kCount = 50;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < kThreads; ++seed)
    threads.emplace_back([this, seed] { change_pages(seed + 10, kCount); });
  for (std::thread& thread : threads) thread.join();
  const StoreFigures after = store_->figures();
  EXPECT_LE(static_cast<double>(after.device_flushes - before_.device_flushes),
            1.1 * kThreads * kCount);
  EXPECT_LE(after.journal_appended_bytes - before_.journal_appended_bytes,
            13u * 1024 * kThreads * kCount);
}

/// A chunk of 128 KiB for each page would be 125 MiB.
TEST_F(FsyncCost, ASnapshotGrowsByTheBlocksThatChanged) {
  constexpr std::uint64_t kBlock = 16 * 1024;
  constexpr int kCount = 1000;
  store_->create_snapshot("db", "s", {});
  store_.settle();
  before_ = store_->figures();
  for (int round = 0; round < 10; ++round) {
    change_pages(static_cast<unsigned>(round + 100), kCount / 10);
    store_.settle();
  }
  const std::uint64_t grown = store_->figures().live_bytes - before_.live_bytes;
  EXPECT_LE(grown, kCount * kBlock * 5 / 4);
  EXPECT_GE(grown, kCount * kPage / 2) << "the snapshot has lost its pages";
}

}  // namespace
}  // namespace varve::test
