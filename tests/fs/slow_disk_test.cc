// SPDX-License-Identifier: Apache-2.0
// A disk that stands still: writers wait at the bounds of journal and memory, and nobody who only
// looks waits with them.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "tests/support/fault_disk.h"
#include "tests/support/repository_world.h"
#include "tests/support/temp_directory.h"

namespace varve::test {
namespace {

/// Flushes, and writes to segments, wait while the disk is held. Appends to the journal go to the
/// page cache and do not.
class StandingDisk {
 public:
  explicit StandingDisk(FaultPlan& plan) {
    plan.set_hook([this](DiskCall call, const std::string& path) {
      const bool segment = path.find(".seg") != std::string::npos;
      if (call == DiskCall::kSync || (call == DiskCall::kWrite && segment)) wait();
    });
  }
  void hold() { set(true); }
  void release() { set(false); }
  std::uint64_t waiting() {
    const MutexLock lock(mutex_);
    return waiting_;
  }

 private:
  void set(bool held) {
    const MutexLock lock(mutex_);
    held_ = held;
    released_.notify_all();
  }
  void wait() {
    MutexLock lock(mutex_);
    ++waiting_;
    while (held_) released_.wait(mutex_);
    --waiting_;
  }

  Mutex mutex_;
  CondVar released_;
  bool held_ GUARDED_BY(mutex_) = false;
  std::uint64_t waiting_ GUARDED_BY(mutex_) = 0;
};

class SlowDisk : public testing::Test {
 protected:
  static constexpr std::uint64_t kJournalFile = 256 << 10;
  static constexpr std::uint32_t kJournalFiles = 4;
  static constexpr std::size_t kWriteBytes = 32 << 10;
  static constexpr std::size_t kWrites = 400;

  SlowDisk() : disk_(fault_disk_.plan()) {
    RepositoryOptions options;
    options.store.journal_file_bytes = kJournalFile;
    options.store.journal_files_max = kJournalFiles;
    options.store.reserve_bytes = 0;
    options.dirty_limit_bytes = 1 << 20;
    options.dirty_stall_bytes = 4 << 20;
    repository_ = Repository::open(fault_disk_, directory_ / "store", true, options);
    Repository::CreateVolume request;
    request.name = "v";
    repository_->create_volume(request);
    volume_ = repository_->attach("v");
    file_ = volume_->make_node(kRootIno, "file", S_IFREG | 0600, 0, {}).ino;
  }
  ~SlowDisk() override {
    disk_.release();
    volume_->forget(file_, 1);
    volume_.reset();
    repository_->close();
  }

  /// Writes until all is accepted; `accepted_` says how far it came.
  std::thread writer() {
    return std::thread([this] {
      for (std::size_t i = 0; i < kWrites; ++i) {
        volume_->write(file_, i * kWriteBytes, pattern(kWriteBytes, static_cast<unsigned>(i)),
                       false);
        accepted_ = i + 1;
      }
    });
  }

  TempDirectory directory_;
  FaultDisk fault_disk_;
  StandingDisk disk_;
  std::unique_ptr<Repository> repository_;
  std::shared_ptr<Volume> volume_;
  Ino file_{};
  std::atomic<std::size_t> accepted_{0};
};

TEST_F(SlowDisk, WritersWaitAtTheJournalsEndAndLookersGoOn) {
  disk_.hold();
  std::thread writing = writer();
  // Looking goes on all the time: while the writer comes to the bound, and while it waits there.
  constexpr std::size_t kBound = kJournalFile * kJournalFiles / kWriteBytes;
  constexpr int kLooks = 20'000;
  std::size_t before = 0;
  for (int still = 0; still < kLooks; ++still) {
    EXPECT_EQ(volume_->getattr(file_).ino, file_);
    EXPECT_TRUE(volume_->lookup(kRootIno, "file").has_value());
    volume_->forget(file_, 1);
    volume_->statfs();
    const std::size_t now = accepted_;
    if (now != before) still = 0;
    before = now;
  }
  EXPECT_GT(before, 0u);
  EXPECT_LE(before, kBound);
  EXPECT_LE(repository_->figures().journal_bytes, kJournalFile * kJournalFiles);
  EXPECT_GT(disk_.waiting(), 0u);
  // What was accepted can be read meanwhile.
  Bytes out(kWriteBytes);
  EXPECT_EQ(volume_->read(file_, 0, out), kWriteBytes);
  EXPECT_EQ(out, pattern(kWriteBytes, 0));

  disk_.release();
  writing.join();
  EXPECT_EQ(accepted_, kWrites);
  for (std::size_t i = 0; i < kWrites; i += 37) {
    volume_->read(file_, i * kWriteBytes, out);
    EXPECT_EQ(out, pattern(kWriteBytes, static_cast<unsigned>(i))) << i;
  }
}

TEST_F(SlowDisk, AnFsyncWaitsAloneForItsFlush) {
  disk_.hold();
  volume_->write(file_, 0, as_bytes("text"), false);
  std::atomic<bool> synced{false};
  std::thread syncing([&] {
    volume_->fsync(file_);
    synced = true;
  });
  while (disk_.waiting() == 0) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(volume_->getattr(file_).size, 4u);
  volume_->write(file_, 4, as_bytes(" and more"), false);
  EXPECT_FALSE(synced);
  disk_.release();
  syncing.join();
  EXPECT_TRUE(synced);
}

}  // namespace
}  // namespace varve::test
