// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "tests/store/store_fixture.h"
#include "tests/support/power_disk.h"

namespace varve::test {
namespace {

/// What had been acknowledged when an image was taken.
struct Acknowledged {
  Csn csn = 0;
  std::size_t appended = 0;
  std::size_t flushed = 0;
};

struct Image {
  std::string path;
  std::uint32_t lost_percent = 0;
  Acknowledged promised;
};

/// Runs a workload, takes images of the store at its disk steps, and opens each.
class StoreCrashTest : public ::testing::Test {
 protected:
  StoreCrashTest() {
    options_.journal_files_max = 3;
    options_.segment_bytes = 64 * 1024;
    Store::create(disk_, path_, options_);
  }

  /// Takes an image at every `every`th step from here on. While one is taken all other steps wait.
  void take_images(std::uint64_t every, std::uint32_t lost_percent) {
    disk_.plan().set_hook([this, every, lost_percent](DiskCall call, const std::string&) {
      const MutexLock lock(mutex_);
      if (call == DiskCall::kRead || call == DiskCall::kSpace || ++steps_ % every != 0) return;
      const std::string path = directory_ / ("image-" + std::to_string(taken_++));
      power_.cut(path_, path, lost_percent, steps_);
      images_.push_back({path, lost_percent, acknowledged_});
    });
  }
  void acknowledge(const std::function<void(Acknowledged&)>& change) {
    const MutexLock lock(mutex_);
    change(acknowledged_);
  }

  void run(int rounds) {
    const std::unique_ptr<Store> store = Store::open(disk_, path_, options_);
    model_.check(*store);
    for (int i = 0; i < rounds; ++i) {
      const StoreFigures figures = store->figures();
      if (figures.journal_bytes > figures.journal_capacity_bytes / 2) commit(*store);
      store->admit(1000);
      for (int k = 0; k < 3; ++k) {
        model_.append(*store);
        acknowledge([&](Acknowledged& a) { a.appended = model_.appended(); });
      }
      if (i % 3 == 0) {
        store->journal().flush();
        acknowledge([&](Acknowledged& a) { a.flushed = model_.appended(); });
      }
      if (i % 2 == 1) commit(*store);
    }
    if (rounds % 2 == 0) store->close();
  }
  void commit(Store& store) {
    const Csn csn = model_.commit(store);
    acknowledge([&](Acknowledged& a) {
      a.csn = csn;
      a.flushed = model_.appended();
    });
  }

  /// Everything acknowledged is there, the counts are right, and the store goes on.
  void check(const Image& image) {
    StoreModel model = model_;
    for (int round = 0; round < 2; ++round) {
      const std::unique_ptr<Store> store = Store::open(Disk::host(), image.path, options_);
      if (round == 0) {
        EXPECT_GE(store->csn(), image.promised.csn);
        EXPECT_LE(store->csn(), image.promised.csn + 1);
      }
      const Csn csn = store->csn();
      const std::size_t operations = model.check(*store);
      const std::size_t promised =
          image.lost_percent == 0 ? image.promised.appended : image.promised.flushed;
      EXPECT_GE(operations, promised);
      model.settle(csn, operations);
      model.commit(*store);
      store->admit(1000);
      model.append(*store);
      if (::testing::Test::HasFailure()) return;
    }
  }

  void check_all() {
    disk_.plan().set_hook({});
    const MutexLock lock(mutex_);
    EXPECT_GT(images_.size(), 15u);
    for (const Image& image : images_) {
      SCOPED_TRACE(image.path + ", lost " + std::to_string(image.lost_percent) +
                   "%, promised csn " + std::to_string(image.promised.csn));
      check(image);
      std::filesystem::remove_all(image.path);
      if (HasFailure()) return;
    }
  }

  TempDirectory directory_;
  PowerDisk power_;
  FaultDisk disk_{power_};
  StoreOptions options_ = small_options();
  const std::string path_ = directory_ / "store";
  StoreModel model_{7};
  Mutex mutex_;
  Acknowledged acknowledged_ GUARDED_BY(mutex_);
  std::vector<Image> images_ GUARDED_BY(mutex_);
  std::uint64_t steps_ GUARDED_BY(mutex_) = 0;
  std::uint64_t taken_ GUARDED_BY(mutex_) = 0;
};

TEST_F(StoreCrashTest, KeepsEverythingAcknowledgedWhenTheProcessDiesAtAnyStep) {
  take_images(5, 0);
  run(24);
  check_all();
}

TEST_F(StoreCrashTest, KeepsEverythingFlushedWhenThePowerGoesAndNothingElseReachedTheDisk) {
  take_images(5, 100);
  run(24);
  check_all();
}

TEST_F(StoreCrashTest, KeepsEverythingFlushedWhenThePowerGoesAndHalfOfTheRestReachedTheDisk) {
  take_images(5, 50);
  run(24);
  check_all();
}

TEST_F(StoreCrashTest, KeepsEverythingFlushedWhenThePowerGoesAgainAfterRecovery) {
  take_images(4, 30);
  run(9);
  disk_.plan().set_hook({});
  // The second life begins on an image of the first.
  Image first;
  {
    const MutexLock lock(mutex_);
    first = images_[images_.size() / 2];
    images_.clear();
  }
  std::filesystem::remove_all(path_);
  std::filesystem::rename(first.path, path_);
  {
    const std::unique_ptr<Store> store = Store::open(disk_, path_, options_);
    const Csn csn = store->csn();
    const std::size_t operations = model_.check(*store);
    model_.settle(csn, operations);
    acknowledge([&](Acknowledged& a) { a = {csn, operations, first.promised.flushed}; });
  }
  take_images(4, 60);
  run(11);
  check_all();
}

}  // namespace
}  // namespace varve::test
