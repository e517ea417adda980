// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_directory_races.h"

#include <gtest/gtest.h>

namespace varve {
namespace {

using Clock = FuseDirectoryRaces::Clock;
constexpr Ino kDirectory{7};
const Clock::time_point kStart = Clock::time_point{} + std::chrono::hours(1);

TEST(FuseDirectoryRaces, OneThreadAloneNeedsNoNotification) {
  FuseDirectoryRaces races;
  EXPECT_FALSE(races.changed(kDirectory, 1, kStart));
  races.tell(kDirectory, 1, kStart);
  EXPECT_FALSE(races.changed(kDirectory, 1, kStart));
}

TEST(FuseDirectoryRaces, AChangeBehindAnotherThreadsBackIsNotified) {
  FuseDirectoryRaces races;
  races.tell(kDirectory, 1, kStart);
  EXPECT_TRUE(races.changed(kDirectory, 2, kStart));
  EXPECT_FALSE(races.changed(Ino{8}, 2, kStart));
}

TEST(FuseDirectoryRaces, EveryThreadThatWasToldCounts) {
  FuseDirectoryRaces races;
  races.tell(kDirectory, 1, kStart);
  races.tell(kDirectory, 2, kStart);
  EXPECT_TRUE(races.changed(kDirectory, 2, kStart));
  EXPECT_TRUE(races.changed(kDirectory, 1, kStart));
}

TEST(FuseDirectoryRaces, WhatWasToldLongAgoHasArrived) {
  FuseDirectoryRaces races;
  races.tell(kDirectory, 1, kStart);
  const Clock::time_point later = kStart + FuseDirectoryRaces::kLately;
  EXPECT_FALSE(races.changed(kDirectory, 2, later));
  races.tell(kDirectory, 2, later);
  EXPECT_FALSE(races.changed(kDirectory, 2, later));
}

}  // namespace
}  // namespace varve
