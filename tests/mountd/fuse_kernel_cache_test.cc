// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_kernel_cache.h"

#include <linux/fuse.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mountd/fuse_wire.h"
#include "store/base/error.h"
#include "tests/support/shared_volume.h"

namespace varve::test {
namespace {

/// Takes notifications apart as the kernel would.
class FakeKernel {
 public:
  int operator()(ByteView bytes) {
    gate.pass();
    fuse_out_header header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    EXPECT_EQ(header.len, bytes.size());
    EXPECT_EQ(header.unique, 0u);
    MutexLock lock(mutex_);
    if (header.error == FUSE_NOTIFY_INVAL_INODE) {
      fuse_notify_inval_inode_out body{};
      EXPECT_EQ(bytes.size(), sizeof header + sizeof body);
      std::memcpy(&body, bytes.data() + sizeof header, sizeof body);
      EXPECT_EQ(body.off, 0);
      EXPECT_EQ(body.len, 0);
      inodes_.insert(body.ino);
      return body.ino % 2 == 0 ? 0 : ENOENT;  // unknown ones are no failure
    }
    if (header.error == FUSE_NOTIFY_INVAL_ENTRY) {
      fuse_notify_inval_entry_out body{};
      std::memcpy(&body, bytes.data() + sizeof header, sizeof body);
      const auto* name = reinterpret_cast<const char*>(bytes.data()) + sizeof header + sizeof body;
      EXPECT_EQ(std::strlen(name), body.namelen);
      names_.insert(std::to_string(body.parent) + "/" + name);
      return 0;
    }
    EXPECT_EQ(header.error, 8);
    ++epochs_;
    return 0;
  }
  std::set<std::uint64_t> inodes() {
    MutexLock lock(mutex_);
    return inodes_;
  }
  std::set<std::string> names() {
    MutexLock lock(mutex_);
    return names_;
  }
  int epochs() {
    MutexLock lock(mutex_);
    return epochs_;
  }
  Gate gate;

 private:
  Mutex mutex_;
  std::set<std::uint64_t> inodes_ GUARDED_BY(mutex_);
  std::set<std::string> names_ GUARDED_BY(mutex_);
  int epochs_ GUARDED_BY(mutex_) = 0;
};

TEST(FuseKernelCache, TellsTheKernelOfEveryInodeItMayHold) {
  FakeKernel kernel;
  FuseKernelCache cache(std::ref(kernel));
  cache.set_has_epochs(true);
  std::set<std::uint64_t> expected = {1};  // the root, always
  for (const std::uint64_t ino : {2ull, 511ull, 512ull, 513ull, 1ull << 40, ~0ull}) {
    cache.saw(Ino{ino});
    cache.saw(Ino{ino});
    expected.insert(ino);
  }
  cache.begin_invalidation(nullptr);
  cache.finish_invalidation();
  EXPECT_EQ(kernel.epochs(), 1);
  EXPECT_EQ(kernel.inodes(), expected);
  EXPECT_TRUE(kernel.names().empty());
  EXPECT_EQ(cache.notifications(), expected.size() + 1);
}

/// Changes as a test wants them.
class SomeChanges : public VolumeChanges {
 public:
  void each_name(const std::function<void(Ino, std::string_view)>& visit) const override {
    if (damaged) throw CorruptionError("a node is damaged");
    for (const auto& [directory, name] : names) visit(directory, name);
  }
  void each_inode(const std::function<void(Ino)>& visit) const override {
    for (const Ino ino : inodes) visit(ino);
  }
  std::vector<std::pair<Ino, std::string>> names;
  std::vector<Ino> inodes;
  bool damaged = false;
};

TEST(FuseKernelCache, TellsOnlyOfChangesThatTheKernelMayHold) {
  FakeKernel kernel;
  FuseKernelCache cache(std::ref(kernel));
  cache.set_has_epochs(true);
  for (const std::uint64_t ino : {2ull, 3ull, 4ull}) cache.saw(Ino{ino});
  auto changes = std::make_shared<SomeChanges>();
  changes->names = {{kRootIno, "a"}, {Ino{3}, "b"}, {Ino{99}, "unseen"}};
  changes->inodes = {kRootIno, Ino{3}, Ino{100}};
  cache.begin_invalidation(changes);
  cache.finish_invalidation();
  EXPECT_EQ(kernel.names(), (std::set<std::string>{"1/a", "3/b"}));
  EXPECT_EQ(kernel.inodes(), (std::set<std::uint64_t>{1, 3}));
  EXPECT_EQ(kernel.epochs(), 0) << "what has not changed stays cached";
}

TEST(FuseKernelCache, ForgetsEverythingWhenTheChangesCannotBeRead) {
  FakeKernel kernel;
  FuseKernelCache cache(std::ref(kernel));
  cache.set_has_epochs(true);
  for (const std::uint64_t ino : {2ull, 3ull}) cache.saw(Ino{ino});
  auto changes = std::make_shared<SomeChanges>();
  changes->damaged = true;
  cache.begin_invalidation(changes);
  cache.finish_invalidation();
  EXPECT_EQ(kernel.inodes(), (std::set<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(kernel.epochs(), 1);
}

TEST(FuseKernelCache, WithoutEpochsItRemembersNames) {
  FakeKernel kernel;
  FuseKernelCache cache(std::ref(kernel));
  cache.saw_name(kRootIno, "a");
  cache.saw_name(Ino{7}, "a");
  cache.saw_name(Ino{7}, "missing");
  cache.begin_invalidation(nullptr);
  cache.finish_invalidation();
  EXPECT_EQ(kernel.names(), (std::set<std::string>{"1/a", "7/a", "7/missing"}));
  EXPECT_EQ(kernel.epochs(), 0);
}

TEST(FuseKernelCache, NamesBeyondTheLimitLeaveTheKernelFirst) {
  FakeKernel kernel;
  FuseKernelCache cache(std::ref(kernel), 10);
  for (int i = 0; i < 25; ++i) cache.saw_name(kRootIno, std::to_string(i));
  cache.begin_invalidation(nullptr);
  cache.finish_invalidation();
  EXPECT_EQ(kernel.names().size(), 25u);
}

TEST(FuseKernelCache, BeginDoesNotWaitForTheKernel) {
  FakeKernel kernel;
  FuseKernelCache cache(std::ref(kernel));
  cache.saw(Ino{5});
  kernel.gate.close();
  cache.begin_invalidation(nullptr);
  cache.begin_invalidation(nullptr);
  kernel.gate.wait_for(1);
  cache.saw(Ino{6});  // answers go on meanwhile
  kernel.gate.open();
  cache.finish_invalidation();
  EXPECT_EQ(kernel.inodes().count(5), 1u);
}

TEST(FuseKernelCache, StopEndsWaitsAndLaterCallsDoNothing) {
  FakeKernel kernel;
  FuseKernelCache cache(std::ref(kernel));
  cache.saw(Ino{5});
  cache.stop();
  cache.begin_invalidation(nullptr);
  cache.finish_invalidation();
  cache.stop();
  EXPECT_TRUE(kernel.inodes().empty());
}

}  // namespace
}  // namespace varve::test
