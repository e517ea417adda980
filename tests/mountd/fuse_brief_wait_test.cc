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

/// How many of `count` calls look at all, where each that does finds something if `finds(number)`.
int tries(FuseBriefWait& brief, int count, const std::function<bool(int)>& finds) {
  int tries = 0;
  for (int i = 0; i < count; ++i) {
    bool looked = false;
    const bool found = brief.wait(
        [&] {
          looked = true;
          return finds(tries);
        },
        SlowClock());
    EXPECT_EQ(found, looked && finds(tries));
    if (looked) ++tries;
  }
  return tries;
}

TEST(FuseBriefWait, WhereItIsInVainOneInManyIsTried) {
  FuseBriefWait brief(true);
  const int tried = tries(brief, 6400, [](int) { return false; });
  EXPECT_GE(tried, 100);
  EXPECT_LE(tried, 102);
}

TEST(FuseBriefWait, WhereFourOfFiveSucceedItGoesOn) {
  FuseBriefWait brief(true);
  EXPECT_GT(tries(brief, 1000, [](int number) { return number % 6 != 5; }), 990);
}

TEST(FuseBriefWait, WhereHalfSucceedItStops) {
  FuseBriefWait brief(true);
  EXPECT_LT(tries(brief, 1000, [](int number) { return number % 2 != 0; }), 100);
}

TEST(FuseBriefWait, SuccessBringsItBack) {
  FuseBriefWait brief(true);
  tries(brief, 1000, [](int) { return false; });
  EXPECT_GT(tries(brief, 1000, [](int) { return true; }),
            1000 - static_cast<int>(FuseBriefWait::kProbe));
}

TEST(FuseBriefWait, DoesNothingOnOneProcessor) {
  FuseBriefWait brief(false);
  EXPECT_FALSE(brief.wait([] { return true; }, SlowClock()));
}

}  // namespace
}  // namespace varve::test
