// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/sightings.h"

#include <gtest/gtest.h>

#include <vector>

namespace varve {
namespace {

TEST(Sightings, LooksLessAndLessOftenUntilSomebodyIsSeen) {
  Sightings sightings;
  sightings.expect("v", 1000);
  std::vector<std::int64_t> looks;
  std::int64_t now = 1000;
  bool is_there = false;
  const auto look = [&](const std::string& volume) {
    EXPECT_EQ(volume, "v");
    looks.push_back(now);
    return is_there;
  };
  for (; now <= 4000; now += 100) sightings.make(look, now);
  EXPECT_EQ(looks, (std::vector<std::int64_t>{1500, 2500}));
  EXPECT_EQ(sightings.seen_ms("v"), -1);
  is_there = true;
  for (; now <= 100'000; now += 100) sightings.make(look, now);
  EXPECT_EQ(looks, (std::vector<std::int64_t>{1500, 2500, 4500}));
  EXPECT_EQ(sightings.seen_ms("v"), 4500);
}

TEST(Sightings, GivesUpAfterAWhile) {
  Sightings sightings;
  sightings.expect("v", 0);
  int looks = 0;
  const auto look = [&](const std::string&) { return ++looks < 0; };
  for (std::int64_t now = 0; now < 1'000'000; now += 200) sightings.make(look, now);
  EXPECT_EQ(looks, 7);
}

TEST(Sightings, ANewMountIsLookedForAnew) {
  Sightings sightings;
  sightings.note("v", 10);
  sightings.expect("v", 20);
  EXPECT_EQ(sightings.seen_ms("v"), 10) << "it is before the mount, and says nothing about it";
  sightings.make([](const std::string&) { return true; }, 1000);
  EXPECT_EQ(sightings.seen_ms("v"), 1000);
  sightings.forget("v");
  EXPECT_EQ(sightings.seen_ms("v"), -1);
}

}  // namespace
}  // namespace varve
