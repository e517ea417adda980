// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_lock.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

TEST(KeeperLock, SaysWhileAnyKeeperLives) {
  const test::TempDirectory store;
  EXPECT_FALSE(has_keeper(store.path())) << "there is no file yet";
  Descriptor first = hold_keeper_lock(store.path());
  EXPECT_TRUE(has_keeper(store.path()));
  EXPECT_TRUE(has_keeper(store.path())) << "asking changes nothing";
  Descriptor second = hold_keeper_lock(store.path());
  first.reset();
  EXPECT_TRUE(has_keeper(store.path()));
  second.reset();
  EXPECT_FALSE(has_keeper(store.path()));
}

TEST(KeeperLock, NobodyOpensAStoreThatIsKept) {
  const test::TempDirectory store;
  refuse_if_kept(store.path());
  const Descriptor lock = hold_keeper_lock(store.path());
  try {
    refuse_if_kept(store.path());
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), EBUSY);
    EXPECT_NE(std::string(error.what()).find(store.path()), std::string::npos);
  }
}

}  // namespace
}  // namespace varve
