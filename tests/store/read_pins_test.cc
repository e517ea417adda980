// SPDX-License-Identifier: Apache-2.0
#include "store/read_pins.h"

#include <gtest/gtest.h>

namespace varve {
namespace {

TEST(ReadPins, WithoutPinsEverythingThatDiedMayGo) {
  ReadPins pins;
  pins.advance(7);
  EXPECT_EQ(pins.horizon(), 8u);
  pins.advance(5);  // never goes back
  EXPECT_EQ(pins.current(), 7u);
}

TEST(ReadPins, ThePinKeepsWhatDiesAfterIt) {
  ReadPins pins;
  pins.advance(7);
  const auto pin = pins.pin();
  EXPECT_EQ(pin->csn(), 7u);
  pins.advance(12);
  EXPECT_EQ(pins.horizon(), 8u);  // died in 8: needed; died in 7: not
}

TEST(ReadPins, TheOldestPinCounts) {
  ReadPins pins;
  pins.advance(3);
  auto old = pins.pin();
  auto twin = pins.pin();
  pins.advance(9);
  auto young = pins.pin();
  EXPECT_EQ(pins.horizon(), 4u);
  old.reset();
  EXPECT_EQ(pins.horizon(), 4u);
  twin.reset();
  EXPECT_EQ(pins.horizon(), 10u);
  young.reset();
  EXPECT_EQ(pins.horizon(), 10u);
}

TEST(ReadPins, APinMayBeginEarlierButNotLater) {
  ReadPins pins;
  pins.advance(9);
  EXPECT_EQ(pins.pin_at(4)->csn(), 4u);
  EXPECT_EQ(pins.pin_at(20)->csn(), 9u);
  const auto pin = pins.pin_at(4);
  EXPECT_EQ(pins.horizon(), 5u);
}

TEST(ReadPins, APinMayOutliveTheRegistry) {
  std::unique_ptr<ReadPin> pin;
  {
    ReadPins pins;
    pins.advance(1);
    pin = pins.pin();
  }
  EXPECT_EQ(pin->csn(), 1u);
}

}  // namespace
}  // namespace varve
