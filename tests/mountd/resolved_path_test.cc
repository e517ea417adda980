// SPDX-License-Identifier: Apache-2.0
#include "mountd/resolved_path.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <functional>

#include "mountd/own_descriptors.h"
#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

namespace fs = std::filesystem;

int errno_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return 0;
}

class ResolvedPathTest : public ::testing::Test {
 protected:
  ResolvedPathTest() { fs::create_directories(root_ + "/home/user/mnt"); }

  static ino_t inode(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
  }

  test::TempDirectory directory_;
  const std::string root_ = fs::canonical(directory_.path()).string();
  const std::string point_ = root_ + "/home/user/mnt";
};

TEST_F(ResolvedPathTest, LeadsToTheDirectory) {
  const ResolvedPath held = ResolvedPath::directory(point_);
  EXPECT_EQ(inode(held.path()), inode(point_));
  const ResolvedPath entry = ResolvedPath::entry(point_);
  EXPECT_EQ(inode(entry.path()), inode(point_));
}

TEST_F(ResolvedPathTest, LeadsToTheDirectoryFromAThreadWithItsOwnDescriptors) {
  run_with_own_descriptors([&] {
    const ResolvedPath held = ResolvedPath::directory(point_);
    EXPECT_EQ(inode(held.path()), inode(point_));
    const ResolvedPath entry = ResolvedPath::entry(point_);
    EXPECT_EQ(inode(entry.path()), inode(point_));
  });
}

TEST_F(ResolvedPathTest, KeepsTheDirectoryWhenALinkTakesItsPlace) {
  const ino_t wanted = inode(point_);
  const ResolvedPath held = ResolvedPath::directory(point_);
  fs::rename(root_ + "/home/user", root_ + "/home/moved");
  fs::create_directories(root_ + "/victim/mnt");
  fs::create_directory_symlink(root_ + "/victim", root_ + "/home/user");
  EXPECT_EQ(inode(held.path()), wanted);
}

TEST_F(ResolvedPathTest, RefusesALinkPlantedAbove) {
  fs::rename(root_ + "/home/user", root_ + "/home/moved");
  fs::create_directories(root_ + "/victim/mnt");
  fs::create_directory_symlink(root_ + "/victim", root_ + "/home/user");
  EXPECT_EQ(errno_of([&] { ResolvedPath::directory(point_); }), ELOOP);
  EXPECT_EQ(errno_of([&] { ResolvedPath::entry(point_); }), ELOOP);
}

TEST_F(ResolvedPathTest, RefusesALinkInTheLastPlace) {
  fs::remove(point_);
  fs::create_directory_symlink("/", point_);
  EXPECT_EQ(errno_of([&] { ResolvedPath::directory(point_); }), ELOOP);
}

TEST_F(ResolvedPathTest, SaysWhatIsMissing) {
  EXPECT_EQ(errno_of([&] { ResolvedPath::directory(root_ + "/none"); }), ENOENT);
  EXPECT_EQ(errno_of([&] { ResolvedPath::entry(root_ + "/none/mnt"); }), ENOENT);
}

}  // namespace
}  // namespace varve
