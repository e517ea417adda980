// SPDX-License-Identifier: Apache-2.0
#include "mountd/store_location.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

/// Sets a variable of the environment for a scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~Variable() { set(before_ ? before_->c_str() : nullptr); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const char* value) {
    if (value != nullptr) {
      ::setenv(name_, value, 1);
    } else {
      ::unsetenv(name_);
    }
  }
  const char* name_;
  std::optional<std::string> before_;
};

TEST(StoreLocation, TheOptionWinsOverTheEnvironment) {
  const Variable variable("VARVE_STORE", "/srv/environment");
  EXPECT_EQ(store_location("/srv/option"), "/srv/option");
  EXPECT_EQ(store_location(std::nullopt), "/srv/environment");
  EXPECT_FALSE(store_is_default(std::nullopt));
}

TEST(StoreLocation, AnEmptyVariableIsNotSet) {
  const Variable variable("VARVE_STORE", "");
  EXPECT_TRUE(store_is_default(std::nullopt));
}

TEST(StoreLocation, TheDefaultDependsOnTheUser) {
  const Variable store("VARVE_STORE", nullptr);
  const Variable data("XDG_DATA_HOME", "/home/someone/data");
  EXPECT_EQ(store_location(std::nullopt),
            ::geteuid() == 0 ? "/var/lib/varve" : "/home/someone/data/varve");
  EXPECT_TRUE(store_is_default(std::nullopt));
}

TEST(StoreLocation, IsAbsoluteAndWithoutLinks) {
  const test::TempDirectory directory;
  const std::string real = std::filesystem::canonical(directory.path()).string();
  std::filesystem::create_directory(directory / "real");
  std::filesystem::create_symlink("real", directory / "link");
  EXPECT_EQ(store_location(directory / "link/store"), real + "/real/store");
  EXPECT_EQ(store_location(directory / "real/../store//"), real + "/store");
}

TEST(StoreLocation, AnEmptyOptionIsRefused) { EXPECT_THROW(store_location(""), UserError); }

TEST(StoreLocation, AChosenPlaceNeedsItsParent) {
  const test::TempDirectory directory;
  EXPECT_NO_THROW(make_store_parent(directory / "store", false));
  try {
    make_store_parent(directory / "mistyped/store", false);
    ADD_FAILURE() << "was accepted";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ENOENT);
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "mistyped"));
}

TEST(StoreLocation, TheDefaultPlaceIsMadeForItsUserAlone) {
  const test::TempDirectory directory;
  make_store_parent(directory / "a/b/store", true);
  struct stat status {};
  ASSERT_EQ(::stat((directory / "a/b").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  EXPECT_FALSE(std::filesystem::exists(directory / "a/b/store"));
}

}  // namespace
}  // namespace varve
