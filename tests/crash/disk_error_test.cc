// SPDX-License-Identifier: Apache-2.0
//
// Every call of the store to its disk fails once, SQLite's included.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <random>

#include "store/base/error.h"
#include "tests/crash/crash_check.h"
#include "tests/crash/fault_workload.h"
#include "tests/support/fault_disk.h"

namespace varve::test {
namespace {

/// Which calls fail, and how.
struct Fault {
  const char* name;
  std::vector<DiskCall> calls;
  int code = EIO;
  bool sticky = false;

  bool has(DiskCall call) const {
    return std::find(calls.begin(), calls.end(), call) != calls.end();
  }
};

/// One life of a store on a disk that fails at call number `nth` of a kind (0: never).
class FaultyLife {
 public:
  FaultyLife(const Fault& fault, std::uint64_t nth, const DiskImage& start)
      : media_(std::make_shared<DiskMedia>(start)), inner_(media_), disk_(inner_) {
    disk_.plan().set_hook([this, fault, nth](DiskCall call, const std::string& path) {
      if (!armed_ || !fault.has(call)) return;
      const std::uint64_t count = ++calls_;
      if (count != nth && !(fault.sticky && nth != 0 && count > nth)) return;
      if (!failed_.exchange(true)) where_ = path;
      throw StoreError(fault.code, path + ": injected: " + errno_text(fault.code));
    });
  }
  ~FaultyLife() { repository_.reset(); }

  /// Opens (makes, at first) the store while calls may fail. False if that was refused.
  bool open() {
    armed_ = true;
    try {
      repository_ = Repository::open(disk_, kStorePath, true, crash_options());
      return true;
    } catch (const Error& error) {
      refusal_ = error.code();
      return false;
    }
  }
  void stop_failing() { armed_ = false; }
  /// What the death of the process leaves now.
  std::shared_ptr<DiskMedia> kill() {
    std::shared_ptr<DiskMedia> next = media_->survive();
    repository_.reset();
    return next;
  }

  Repository& operator*() { return *repository_; }
  std::uint64_t calls() const { return calls_; }
  bool failed() const { return failed_; }
  const std::string& where() const { return where_; }
  int refusal() const { return refusal_; }

 private:
  std::shared_ptr<DiskMedia> media_;
  SimulatedDisk inner_;
  FaultDisk disk_;
  std::unique_ptr<Repository> repository_;
  std::atomic<bool> armed_{false};
  std::atomic<bool> failed_{false};
  std::atomic<std::uint64_t> calls_{0};
  std::string where_;
  int refusal_ = 0;
};

FaultState state_on(const DiskImage& image) {
  SimulatedDisk disk(std::make_shared<DiskMedia>(image));
  const auto repository = Repository::open(disk, kStorePath, true, crash_options());
  FaultState state = fault_state_of(*repository);
  repository->close();
  return state;
}

std::string unexpected(const FaultState& state, const std::set<FaultState>& expected) {
  if (expected.contains(state)) return {};
  std::string out = "found";
  for (const auto& [name, content] : state) {
    out += " " + name + ":" + std::to_string(content.size()) + content.substr(0, 1);
  }
  out += "; expected one of " + std::to_string(expected.size()) + ", the last";
  for (const auto& [name, content] : *expected.rbegin()) {
    out += " " + name + ":" + std::to_string(content.size()) + content.substr(0, 1);
  }
  return out;
}

template <class Body>
int failure_code(Body&& body) {
  try {
    body();
    return 0;
  } catch (const Error& error) {
    return error.code();
  }
}

class DiskErrors : public testing::TestWithParam<Fault> {
 protected:
  /// The errno that failures may have: what was injected, that the store has stopped, that the
  /// journal could not get another file, or what follows from an earlier failure.
  static void expect_errnos(const FaultWorkload& workload, int code) {
    for (const int failure : workload.failures()) {
      EXPECT_TRUE(failure == code || failure == EIO || failure == ENOSPC || failure == ENOENT ||
                  failure == EEXIST)
          << failure;
    }
  }

  /// What is on the disk after the death of the process, and after a power cut as well.
  static void expect_nothing_lost(const std::shared_ptr<DiskMedia>& media,
                                  const FaultWorkload& workload, std::uint64_t seed) {
    EXPECT_EQ(unexpected(state_on(media->now()), workload.present()), "");
    const std::vector<DiskStep> trace = media->take_trace();
    PowerCut cut(media->start(), trace);
    cut.advance_to(trace.size());
    const Loss loss = Loss::random(seed);
    SCOPED_TRACE(loss.text());
    const DiskImage image = cut.image(loss);
    EXPECT_EQ(unexpected(state_on(image), workload.after_power_cut()), "");
  }

  /// Every call with VARVE_EVERY_CALL set, some thirty of them otherwise.
  static std::uint64_t stride_of(std::uint64_t calls) {
    return std::getenv("VARVE_EVERY_CALL") != nullptr ? 1 : calls / 30 + 1;
  }

  /// Runs the workload with a failure of call number `nth`; the store's own threads make the
  /// numbers differ a little from run to run.
  void run_with_failure_of(std::uint64_t nth) {
    FaultyLife life(GetParam(), nth, {});
    if (!life.open()) {
      EXPECT_TRUE(life.refusal() == GetParam().code || life.refusal() == EIO) << life.where();
      state_on(life.kill()->now());  // can be opened, or made
      return;
    }
    FaultWorkload workload(*life);
    workload.run();
    life.stop_failing();
    SCOPED_TRACE("failed: " + life.where());
    expect_errnos(workload, GetParam().code);
    check_life(life, workload);
    expect_nothing_lost(life.kill(), workload, nth);
  }

  /// Reads go on; and changes, unless a flush or a write has failed.
  void check_life(FaultyLife& life, FaultWorkload& workload) {
    const bool stopped = (*life).figures().read_only;
    if (stopped) {
      std::set<FaultState> present;
      for (const FaultState& state : workload.present()) present.insert(volumes_of(state));
      EXPECT_EQ(unexpected(volumes_of(*life), present), "");
    } else {
      EXPECT_EQ(unexpected(fault_state_of(*life), workload.present()), "");
    }
    const bool has_volume = !(*life).volumes().empty();
    const int code = workload.change_once_more();
    if (!has_volume) {
      EXPECT_EQ(code, ENOENT);
      return;
    }
    if (stopped) {
      EXPECT_EQ(code, EIO);
      EXPECT_TRUE(life.failed());
    }
    if (GetParam().calls.front() == DiskCall::kRead && !stopped) {
      EXPECT_EQ(code, 0);
    }
  }
};

const Fault kFaults[] = {
    {"ReadsEio", {DiskCall::kRead}},
    {"WritesEio", {DiskCall::kWrite}},
    {"WritesEnospc", {DiskCall::kWrite}, ENOSPC},
    {"WritesEnospcFromThenOn", {DiskCall::kWrite}, ENOSPC, true},
    {"FlushesEio", {DiskCall::kSync, DiskCall::kSyncDirectory}},
    {"FlushesEnospc", {DiskCall::kSync, DiskCall::kSyncDirectory}, ENOSPC},
    {"FlushesEioFromThenOn", {DiskCall::kSync, DiskCall::kSyncDirectory}, EIO, true},
    {"NamesEio",
     {DiskCall::kOpen, DiskCall::kRemove, DiskCall::kRename, DiskCall::kMakeDirectory,
      DiskCall::kList, DiskCall::kTruncate, DiskCall::kPunch}},
    {"NamesEnospc", {DiskCall::kOpen, DiskCall::kRename, DiskCall::kMakeDirectory}, ENOSPC},
};
INSTANTIATE_TEST_SUITE_P(Kinds, DiskErrors, testing::ValuesIn(kFaults),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(DiskErrors, AtEveryCallLoseNothingAcknowledged) {
  FaultyLife whole(GetParam(), 0, {});
  ASSERT_TRUE(whole.open());
  FaultWorkload workload(*whole);
  workload.run();
  ASSERT_EQ(workload.failures(), std::vector<int>());
  const std::uint64_t calls = whole.calls();
  EXPECT_GT(calls, 15u);
  const std::uint64_t stride = stride_of(calls);
  for (std::uint64_t nth = 1; nth <= calls && !HasFailure(); nth += stride) {
    SCOPED_TRACE("call number " + std::to_string(nth));
    run_with_failure_of(nth);
  }
}

TEST_P(DiskErrors, DuringARecoveryLoseNothingAcknowledged) {
  FaultyLife first(GetParam(), 0, {});
  ASSERT_TRUE(first.open());
  FaultWorkload workload(*first);
  workload.run();
  ASSERT_EQ(workload.failures(), std::vector<int>());
  const DiskImage image = first.kill()->now();
  std::uint64_t calls = 0;
  {
    FaultyLife whole(GetParam(), 0, image);
    ASSERT_TRUE(whole.open());
    calls = whole.calls();
  }
  for (std::uint64_t nth = 1; nth <= calls; nth += stride_of(calls)) {
    SCOPED_TRACE("call number " + std::to_string(nth));
    FaultyLife life(GetParam(), nth, image);
    const bool opened = life.open();
    life.stop_failing();
    SCOPED_TRACE("failed: " + life.where());
    if (opened) {
      EXPECT_EQ(unexpected(fault_state_of(*life), workload.present()), "");
    } else {
      EXPECT_TRUE(life.refusal() == GetParam().code || life.refusal() == EIO);
    }
    EXPECT_EQ(unexpected(state_on(life.kill()->now()), workload.present()), "");
    if (HasFailure()) return;
  }
}

class FaultyRepository : public testing::Test {
 protected:
  FaultyRepository() {
    repository_ = Repository::open(disk_, kStorePath, true, crash_options());
    Repository::CreateVolume request;
    request.name = "v";
    repository_->create_volume(request);
  }
  void reopen() {
    repository_->close();
    repository_.reset();
    repository_ = Repository::open(disk_, kStorePath, false, crash_options());
  }
  Ino write_file(Volume& volume, const std::string& name, std::uint64_t seed) {
    const Ino ino = volume.make_node(kRootIno, name, S_IFREG | 0644, 0, {}).ino;
    std::mt19937_64 random(seed);
    Bytes bytes(60'000);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    volume.write(ino, 0, bytes, false);
    return ino;
  }
  static int read_errno(Volume& volume, Ino ino) {
    Bytes bytes(60'000);
    try {
      return volume.read(ino, 0, bytes) == bytes.size() ? 0 : -1;
    } catch (const Error& error) {
      return error.code();
    }
  }

  std::shared_ptr<DiskMedia> media_ = std::make_shared<DiskMedia>();
  SimulatedDisk inner_{media_};
  FaultDisk disk_{inner_};
  std::unique_ptr<Repository> repository_;
};

TEST_F(FaultyRepository, AnUnreadableSegmentIsEioForItsOwnFilesOnly) {
  std::vector<Ino> files;
  {
    const auto volume = repository_->attach("v");
    for (std::uint64_t i = 0; i < 6; ++i) {
      files.push_back(write_file(*volume, "file" + std::to_string(i), i));
      repository_->commit();
    }
  }
  // Content comes last, after the nodes that lead to it; those have second copies.
  reopen();
  std::string bad;
  disk_.plan().set_hook([&](DiskCall call, const std::string& path) {
    if (call == DiskCall::kRead && path.ends_with(".seg")) bad = path;
  });
  EXPECT_EQ(read_errno(*repository_->attach("v"), files[0]), 0);
  disk_.plan().set_hook({});
  reopen();
  const auto volume = repository_->attach("v");
  disk_.plan().set_hook([&](DiskCall call, const std::string& path) {
    if (call == DiskCall::kRead && path == bad) throw StoreError(EIO, path + ": injected");
  });
  EXPECT_EQ(read_errno(*volume, files[0]), EIO);
  int readable = 0;
  for (const Ino ino : files) {
    EXPECT_EQ(volume->getattr(ino).size, 60'000u);
    readable += read_errno(*volume, ino) == 0 ? 1 : 0;
  }
  EXPECT_GE(readable, 4) << bad;
  EXPECT_LE(readable, 5);
  disk_.plan().set_hook({});
  for (const Ino ino : files) EXPECT_EQ(read_errno(*volume, ino), 0);
  EXPECT_FALSE(repository_->figures().read_only);
  write_file(*volume, "later", 99);
}

TEST_F(FaultyRepository, AFailedFlushStopsChangesKeepsReadsAndIsReportedOnce) {
  const auto volume = repository_->attach("v");
  const Ino ino = write_file(*volume, "file", 1);
  testing::internal::CaptureStderr();
  disk_.plan().fail(DiskCall::kSync, 1, EIO, false, "/journal/");
  const auto fsync = failure_code([&] { volume->fsync(ino); });
  const std::uint64_t flushes = disk_.plan().count(DiskCall::kSync);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(failure_code([&] { volume->fsync(ino); }), EIO);
    EXPECT_EQ(failure_code([&] { write_file(*volume, "more" + std::to_string(i), 2); }), EIO);
    EXPECT_EQ(failure_code([&] { repository_->create_snapshot("v", "s", {}); }), EIO);
    EXPECT_EQ(failure_code([&] { volume->unlink(kRootIno, "file"); }), EIO);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(fsync, EIO);
  EXPECT_EQ(disk_.plan().count(DiskCall::kSync), flushes) << "a failed flush was tried again";
  EXPECT_TRUE(repository_->figures().read_only);
  EXPECT_EQ(read_errno(*volume, ino), 0);
  const std::string words = "the store refuses changes";
  const std::size_t first = log.find(words);
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find(words, first + 1), std::string::npos) << log;
}

}  // namespace
}  // namespace varve::test
