// SPDX-License-Identifier: Apache-2.0
#include "mountd/live_mounts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "store/base/error.h"
#include "tests/support/fake_fuse_mount.h"
#include "tests/support/fake_repository.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using test::FakeFuseMount;
using World = FakeFuseMount::World;
using Calls = std::vector<std::string>;

class LiveMountsTest : public ::testing::Test {
 protected:
  LiveMountsTest()
      : real_(std::filesystem::canonical(directory_.path()).string()),
        mounts_(repository_, real_ + "/store",
                [this](std::shared_ptr<Volume> volume, FuseMount::Options options) {
                  return std::make_unique<FakeFuseMount>(world_, std::move(volume), options);
                }) {
    repository_.create_volume({"data", 0, {}, 0755, 0, 0});
    repository_.create_snapshot("data", "one", {});
    for (const char* name : {"/a", "/b", "/c"}) std::filesystem::create_directory(real_ + name);
  }

  LiveMount mount(const std::string& target, const std::string& name,
                  const std::string& options = "") {
    MountRequest request{target, real_ + name, {}};
    parse_mount_options(options, request.options);
    return mounts_.mount(request);
  }

  template <class Action>
  int refusal(Action&& action) {
    try {
      action();
    } catch (const UserError& error) {
      return error.code();
    }
    return 0;
  }

  test::TempDirectory directory_;
  const std::string real_;
  test::FakeRepository repository_;
  World world_;
  LiveMounts mounts_;
};

TEST_F(LiveMountsTest, AMountIsListedAndItsVolumeAttached) {
  const LiveMount made = mount("data", "/a", "noatime");
  EXPECT_EQ(made.target(), "data");
  EXPECT_TRUE(repository_.volume("data").attached);
  ASSERT_EQ(mounts_.list().size(), 1u);
  const LiveMount listed = mounts_.list()[0];
  EXPECT_EQ(listed.mount_point, real_ + "/a");
  EXPECT_FALSE(listed.read_only);
  EXPECT_GT(listed.mounted_ns, 0);
  EXPECT_EQ(listed.figures.requests.at("read"), 4u);
  EXPECT_NE(listed.options.find("noatime"), std::string::npos);
  EXPECT_EQ(mounts_.mount_point_of("data"), real_ + "/a");
  EXPECT_FALSE(mounts_.empty());
}

TEST_F(LiveMountsTest, RootsMountsAreForEverybodyUnlessPrivate) {
  mount("data", "/a");
  EXPECT_EQ(world_.newest().options().allow_other, ::geteuid() == 0);
  mount("data@one", "/b", "private");
  EXPECT_FALSE(world_.newest().options().allow_other);
  mount("data@one", "/c", "allow_other");
  EXPECT_TRUE(world_.newest().options().allow_other);
}

TEST_F(LiveMountsTest, AVolumeIsMountedOnceAndASnapshotOften) {
  mount("data", "/a");
  EXPECT_EQ(refusal([&] { mount("data", "/b"); }), EBUSY);
  EXPECT_TRUE(mount("data@one", "/b").read_only);
  EXPECT_TRUE(mount("data@one", "/c").read_only);
  EXPECT_EQ(mounts_.list().size(), 3u);
  EXPECT_EQ(mounts_.mount_point_of("data"), real_ + "/a");
}

TEST_F(LiveMountsTest, WhatIsUnknownIsRefused) {
  EXPECT_EQ(refusal([&] { mount("none", "/a"); }), ENOENT);
  EXPECT_EQ(refusal([&] { mount("data@none", "/a"); }), ENOENT);
  EXPECT_EQ(refusal([&] { mount("none@one", "/a"); }), ENOENT);
  EXPECT_EQ(refusal([&] { mount("data", "/none"); }), ENOENT);
  EXPECT_TRUE(mounts_.empty());
  EXPECT_FALSE(repository_.volume("data").attached);
}

TEST_F(LiveMountsTest, CreateMakesAVolumeOnlyWhereItIsMissing) {
  mount("fresh", "/a", "create");
  EXPECT_EQ(repository_.volume("fresh").quota_bytes, 10'000'000'000u);
  mount("data", "/b", "create");
  EXPECT_EQ(repository_.volumes().size(), 2u);
}

TEST_F(LiveMountsTest, CreateMakesNothingForABadMountPoint) {
  EXPECT_EQ(refusal([&] { mount("fresh", "/none", "create"); }), ENOENT);
  EXPECT_EQ(repository_.volumes().size(), 1u);
}

TEST_F(LiveMountsTest, UnmountDetachesTheVolumeBeforeItReturns) {
  mount("data", "/a");
  const LiveMount ended = mounts_.unmount(real_ + "/a", FuseMount::Busy::kRefuse);
  EXPECT_FALSE(ended.detached);
  EXPECT_FALSE(repository_.volume("data").attached);
  EXPECT_TRUE(mounts_.empty());
  mount("data", "/a");
  mounts_.unmount("data", FuseMount::Busy::kRefuse);
  EXPECT_FALSE(repository_.volume("data").attached);
}

TEST_F(LiveMountsTest, UnmountOfWhatIsNotMountedIsRefused) {
  mount("data", "/a");
  EXPECT_EQ(refusal([&] { mounts_.unmount(real_ + "/b", FuseMount::Busy::kRefuse); }), ENOENT);
  EXPECT_EQ(refusal([&] { mounts_.unmount("data@one", FuseMount::Busy::kRefuse); }), ENOENT);
  EXPECT_EQ(mounts_.list().size(), 1u);
}

TEST_F(LiveMountsTest, ANameWithSeveralMountsNeedsTheDirectory) {
  mount("data@one", "/b");
  mount("data@one", "/c");
  EXPECT_EQ(refusal([&] { mounts_.unmount("data@one", FuseMount::Busy::kRefuse); }), EBUSY);
  mounts_.unmount(real_ + "/b", FuseMount::Busy::kRefuse);
  mounts_.unmount("data@one", FuseMount::Busy::kRefuse);
  EXPECT_TRUE(mounts_.empty());
}

TEST_F(LiveMountsTest, ABusyMountStays) {
  mount("data", "/a");
  world_.set(&World::busy, true);
  EXPECT_EQ(refusal([&] { mounts_.unmount("data", FuseMount::Busy::kRefuse); }), EBUSY);
  EXPECT_EQ(mounts_.list().size(), 1u);
  EXPECT_TRUE(repository_.volume("data").attached);
  EXPECT_FALSE(mounts_.unmount("data", FuseMount::Busy::kAbort).detached);
}

TEST_F(LiveMountsTest, ADetachedMountWithUsersIsShownAndHoldsItsVolume) {
  mount("data", "/a");
  world_.set(&World::lingering, true);
  EXPECT_TRUE(mounts_.unmount("data", FuseMount::Busy::kDetach).detached);
  ASSERT_EQ(mounts_.list().size(), 1u);
  EXPECT_TRUE(mounts_.list()[0].detached);
  EXPECT_EQ(refusal([&] { mount("data", "/b"); }), EBUSY);
  EXPECT_EQ(refusal([&] { mounts_.unmount("data", FuseMount::Busy::kRefuse); }), ENOENT);
  world_.newest().end();
  EXPECT_TRUE(mounts_.wait_until_empty(std::chrono::milliseconds(10'000)));
  mount("data", "/b");
}

TEST_F(LiveMountsTest, AnOutsideUnmountLeavesTheList) {
  mount("data", "/a");
  world_.newest().end();
  EXPECT_TRUE(mounts_.wait_until_empty(std::chrono::milliseconds(10'000)));
  EXPECT_TRUE(mounts_.list().empty());
  EXPECT_FALSE(repository_.volume("data").attached);
}

TEST_F(LiveMountsTest, FlushReachesTheVolumesWritableMountOnly) {
  repository_.create_volume({"other", 0, {}, 0755, 0, 0});
  mount("data", "/a");
  mount("data@one", "/b");
  mount("other", "/c");
  world_.take_calls();
  EXPECT_TRUE(mounts_.flush("data"));
  EXPECT_EQ(world_.take_calls(), Calls({"flush data"}));
  EXPECT_TRUE(mounts_.flush_all());
  EXPECT_EQ(world_.take_calls(), Calls({"flush data", "flush other"}));
  EXPECT_TRUE(mounts_.flush("none"));
  world_.set(&World::unreachable, true);
  EXPECT_FALSE(mounts_.flush("data"));
}

TEST_F(LiveMountsTest, AStoppingDaemonTakesNoMounts) {
  mounts_.refuse_new(true);
  EXPECT_EQ(refusal([&] { mount("data", "/a"); }), EBUSY);
  mounts_.refuse_new(false);
  mount("data", "/a");
}

TEST_F(LiveMountsTest, UnmountAllBeginsWithTheNewest) {
  mount("data", "/a");
  mount("data@one", "/b");
  world_.take_calls();
  mounts_.unmount_all(FuseMount::Busy::kRefuse);
  EXPECT_EQ(world_.take_calls(), Calls({"unmount data@one", "unmount data"}));
  EXPECT_TRUE(mounts_.wait_until_empty(std::chrono::milliseconds(10'000)));
}

TEST_F(LiveMountsTest, AFailedMountLeavesNothingBehind) {
  LiveMounts failing(repository_, real_ + "/store",
                     [](std::shared_ptr<Volume>, FuseMount::Options) -> std::unique_ptr<FuseMount> {
                       throw UserError(ENODEV, "there is no /dev/fuse");
                     });
  EXPECT_EQ(refusal([&] { failing.mount({"data", real_ + "/a", {}}); }), ENODEV);
  EXPECT_TRUE(failing.empty());
  EXPECT_FALSE(repository_.volume("data").attached);
}

}  // namespace
}  // namespace varve
