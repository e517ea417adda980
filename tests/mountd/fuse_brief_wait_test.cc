// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_brief_wait.h"

#include <gtest/gtest.h>

namespace varve::test {
namespace {

/// A clock that moves by a microsecond with each look.
class SlowClock {
 public:
  FuseBriefWait::Clock::time_point operator()() {
    return FuseBriefWait::Clock::time_point(std::chrono::microseconds(++looks_));
  }

 private:
  int looks_ = 0;
};

TEST(FuseBriefWait, EndsWhenTheRequestIsThere) {
  FuseBriefWait brief(true);
  for (int round = 0; round < 100; ++round) {
    int looks = 0;
    EXPECT_TRUE(brief.wait([&] { return ++looks == 20; }, SlowClock()));
    EXPECT_EQ(looks, 20);
  }
}

TEST(FuseBriefWait, EndsAfterItsTime) {
  FuseBriefWait brief(true);
  int looks = 0;
  EXPECT_FALSE(brief.wait([&] { return ++looks == 100; }, SlowClock()));
  EXPECT_EQ(looks, FuseBriefWait::kLongest.count());
}

TEST(FuseBriefWait, IsTriedLessAndLessWhereItIsInVain) {
  FuseBriefWait brief(true);
  int tries = 0;
  for (int i = 0; i < 10'000; ++i) {
    bool looked = false;
    EXPECT_FALSE(brief.wait(
        [&] {
          looked = true;
          return false;
        },
        SlowClock()));
    if (looked) ++tries;
  }
  EXPECT_LT(tries, 10'000 / static_cast<int>(FuseBriefWait::kMaxSkips) + 10);
  EXPECT_GT(tries, 10'000 / static_cast<int>(FuseBriefWait::kMaxSkips) - 10);
}

TEST(FuseBriefWait, OneSuccessBringsItBack) {
  FuseBriefWait brief(true);
  const auto never = [] { return false; };
  const auto always = [] { return true; };
  for (int i = 0; i < 1000; ++i) brief.wait(never, SlowClock());
  int calls = 1;
  while (!brief.wait(always, SlowClock())) ++calls;
  EXPECT_LE(calls, static_cast<int>(FuseBriefWait::kMaxSkips) + 1);
  EXPECT_TRUE(brief.wait(always, SlowClock()));
  EXPECT_FALSE(brief.wait(never, SlowClock()));
  EXPECT_FALSE(brief.wait(always, SlowClock()));  // one is skipped
  EXPECT_TRUE(brief.wait(always, SlowClock()));
}

TEST(FuseBriefWait, DoesNothingOnOneProcessor) {
  FuseBriefWait brief(false);
  EXPECT_FALSE(brief.wait([] { return true; }, SlowClock()));
}

}  // namespace
}  // namespace varve::test
