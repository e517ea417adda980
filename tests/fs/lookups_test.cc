// SPDX-License-Identifier: Apache-2.0
#include "fs/lookups.h"

#include <gtest/gtest.h>

namespace varve {
namespace {

constexpr Ino kIno{7};

TEST(Lookups, HoldAnInodeUntilAllAreForgotten) {
  Lookups lookups(false);
  EXPECT_FALSE(lookups.in_use(kIno));
  lookups.add(kIno);
  lookups.add(kIno);
  EXPECT_TRUE(lookups.in_use(kIno));
  EXPECT_FALSE(lookups.forget(kIno, 1));
  EXPECT_TRUE(lookups.holds(kIno));
  EXPECT_FALSE(lookups.forget(kIno, 1));
  EXPECT_FALSE(lookups.holds(kIno));
  EXPECT_EQ(lookups.size(), 0u);
}

TEST(Lookups, SayWhenTheLastLookupOfAnOrphanIsForgotten) {
  Lookups lookups(false);
  lookups.add(kIno);
  EXPECT_TRUE(lookups.mark_orphan(kIno));
  EXPECT_TRUE(lookups.forget(kIno, 1));
  EXPECT_FALSE(lookups.forget(kIno, 1));
}

TEST(Lookups, RefuseToHoldAnOrphanThatNobodyUses) {
  Lookups lookups(false);
  EXPECT_FALSE(lookups.mark_orphan(kIno));
  EXPECT_EQ(lookups.size(), 0u);
}

TEST(Lookups, ForgetAnOrphanThatHasANameAgain) {
  Lookups lookups(false);
  lookups.add(kIno);
  EXPECT_TRUE(lookups.mark_orphan(kIno));
  lookups.unmark_orphan(kIno);
  EXPECT_FALSE(lookups.forget(kIno, 1));
}

TEST(Lookups, StopAtZeroWhenMoreIsForgottenThanWasCounted) {
  Lookups lookups(false);
  lookups.add(kIno);
  EXPECT_FALSE(lookups.forget(kIno, 100));
  lookups.add(kIno);
  EXPECT_TRUE(lookups.holds(kIno));
}

TEST(Lookups, HoldEveryInodeAfterATakeoverUntilItIsForgotten) {
  Lookups lookups(true);
  EXPECT_TRUE(lookups.in_use(kIno));
  EXPECT_FALSE(lookups.holds(kIno));
  EXPECT_TRUE(lookups.mark_orphan(kIno));
  EXPECT_TRUE(lookups.holds(kIno));
  EXPECT_TRUE(lookups.forget(kIno, 12));
  EXPECT_FALSE(lookups.holds(kIno));
}

TEST(Lookups, AreGoneWhenTheMountIsGone) {
  Lookups lookups(true);
  lookups.add(kIno);
  lookups.clear();
  EXPECT_FALSE(lookups.in_use(kIno));
  EXPECT_FALSE(lookups.in_use(Ino{8}));
}

}  // namespace
}  // namespace varve
