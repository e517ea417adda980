// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/mount_users.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_directory.h"

namespace varve {
namespace {

TEST(MountUsers, EmptyDirectoriesGoUpToTheBase) {
  const test::TempDirectory base;
  const std::string path = base.path() + "/id/volumes";
  make_own_directories(base.path(), path + "/one");
  make_own_directories(base.path(), path + "/two");
  remove_empty_directories(base.path(), path);
  EXPECT_FALSE(std::filesystem::exists(base.path() + "/id"));
  EXPECT_TRUE(std::filesystem::exists(base.path()));
  remove_empty_directories(base.path(), path);  // there is nothing to do
}

TEST(MountUsers, WhatIsNotEmptyStays) {
  const test::TempDirectory base;
  const std::string path = base.path() + "/id/volumes";
  make_own_directories(base.path(), path + "/empty");
  make_own_directories(base.path(), path + "/full");
  std::ofstream(path + "/full/file") << "x";
  remove_empty_directories(base.path(), path);
  EXPECT_FALSE(std::filesystem::exists(path + "/empty"));
  EXPECT_TRUE(std::filesystem::exists(path + "/full/file"));
}

}  // namespace
}  // namespace varve
