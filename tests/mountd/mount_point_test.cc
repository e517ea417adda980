// SPDX-License-Identifier: Apache-2.0
#include "mountd/mount_point.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

namespace fs = std::filesystem;

class MountPoint : public ::testing::Test {
 protected:
  MountPoint() : real_(fs::canonical(directory_.path()).string()) {
    fs::create_directory(real_ + "/store");
    fs::create_directory(real_ + "/mnt");
  }

  /// The errno that check_mount_point refuses with; 0 if it does not.
  int refusal(const std::string& path) {
    try {
      check_mount_point(path, real_ + "/store");
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
      return error.code();
    }
    return 0;
  }

  test::TempDirectory directory_;
  const std::string real_;
};

TEST_F(MountPoint, AnEmptyOrFullDirectoryIsFine) {
  EXPECT_EQ(refusal(real_ + "/mnt"), 0);
  std::ofstream(real_ + "/mnt/file") << "hidden by the mount";
  EXPECT_EQ(refusal(real_ + "/mnt"), 0);
}

TEST_F(MountPoint, AMissingDirectoryIsRefused) { EXPECT_EQ(refusal(real_ + "/none"), ENOENT); }

TEST_F(MountPoint, AFileIsRefused) {
  std::ofstream(real_ + "/file") << "x";
  EXPECT_EQ(refusal(real_ + "/file"), ENOTDIR);
}

TEST_F(MountPoint, ASymbolicLinkIsRefusedEvenToADirectory) {
  fs::create_directory_symlink("mnt", real_ + "/link");
  EXPECT_EQ(refusal(real_ + "/link"), ENOTDIR);
}

TEST_F(MountPoint, AMountIsRefused) { EXPECT_EQ(refusal("/proc"), EBUSY); }

TEST_F(MountPoint, TheStoreAndWhatIsInsideAreRefused) {
  fs::create_directory(real_ + "/store/inside");
  EXPECT_EQ(refusal(real_ + "/store"), EINVAL);
  EXPECT_EQ(refusal(real_ + "/store/inside"), EINVAL);
}

TEST_F(MountPoint, WhatWouldHideTheStoreIsRefused) {
  EXPECT_EQ(refusal(real_), EINVAL);
  EXPECT_EQ(refusal("/"), EINVAL);
}

TEST_F(MountPoint, ADirectoryThatOnlySharesTheBeginningOfTheNameIsFine) {
  fs::create_directory(real_ + "/store-mnt");
  EXPECT_EQ(refusal(real_ + "/store-mnt"), 0);
}

TEST_F(MountPoint, PathsAreMadeAbsoluteWithoutFollowingTheLastLink) {
  fs::create_directory_symlink("mnt", real_ + "/link");
  fs::create_directory(real_ + "/mnt/below");
  EXPECT_EQ(absolute_mount_point(real_ + "/link"), real_ + "/link");
  EXPECT_EQ(absolute_mount_point(real_ + "/link/below//"), real_ + "/mnt/below");
  EXPECT_EQ(absolute_mount_point(real_ + "/mnt/below/.."), real_ + "/mnt");
  EXPECT_EQ(absolute_mount_point(real_ + "/mnt/."), real_ + "/mnt");
  EXPECT_EQ(absolute_mount_point("/"), "/");
  EXPECT_EQ(absolute_mount_point("/none"), "/none");
}

TEST_F(MountPoint, PathsBelowNothingAreRefused) {
  EXPECT_THROW(absolute_mount_point(real_ + "/none/mnt"), UserError);
  EXPECT_THROW(absolute_mount_point(""), UserError);
  EXPECT_THROW(absolute_mount_point(std::string("/mnt\0x", 6)), UserError);
}

TEST_F(MountPoint, TheKernelsMountsOfOthersAreNotListed) {
  for (const KernelMount& mount : kernel_mounts()) EXPECT_NE(mount.mount_point, "/proc");
}

}  // namespace
}  // namespace varve
