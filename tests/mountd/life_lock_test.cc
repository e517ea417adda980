// SPDX-License-Identifier: Apache-2.0
#include "mountd/life_lock.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

TEST(LifeLock, IsHeldUntilTheLastDescriptorIsClosed) {
  const test::TempDirectory store;
  EXPECT_FALSE(has_daemon(store.path()));
  Descriptor first = hold_daemon_lock(store.path());
  Descriptor second = hold_daemon_lock(store.path());
  EXPECT_TRUE(has_daemon(store.path()));
  first.reset();
  EXPECT_TRUE(has_daemon(store.path()));
  second.reset();
  EXPECT_FALSE(has_daemon(store.path()));
}

TEST(LifeLock, AServedStoreIsRefusedWithTheRemedy) {
  const test::TempDirectory store;
  refuse_if_served(store.path(), "; end it");
  const Descriptor lock = hold_daemon_lock(store.path());
  try {
    refuse_if_served(store.path(), "; end it");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), EBUSY);
    EXPECT_EQ(std::string(error.what()), "a daemon serves store " + store.path() + "; end it");
  }
}

}  // namespace
}  // namespace varve
