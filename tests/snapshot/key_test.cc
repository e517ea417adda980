// SPDX-License-Identifier: Apache-2.0
#include "snapshot/key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "store/base/error.h"

namespace varve {
namespace {

TEST(Key, HasTheBytesOfTheFormat) {
  const Key key{Ino{0x0102030405060708}, Kind::kRegion, 0x1112131415161718};
  EXPECT_EQ(to_hex(key.encode()),
            "0102030405060708"
            "05"
            "1112131415161718");
  EXPECT_EQ(Key::decode(key.encode()), key);
}

TEST(Key, OrdersAsItsBytesDo) {
  std::mt19937_64 random(1);
  const auto any = [&] {
    const std::uint64_t values[] = {0, 1, 255, 256, UINT64_MAX, random()};
    return Key{Ino{values[random() % 6]}, static_cast<Kind>(random() % 7), values[random() % 6]};
  };
  for (int i = 0; i < 2000; ++i) {
    const Key a = any();
    const Key b = any();
    const auto x = a.encode();
    const auto y = b.encode();
    EXPECT_EQ(a < b, std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end()));
  }
}

TEST(Key, RefusesUnknownKindsAndOtherLengths) {
  auto bytes = Key{Ino{1}, Kind::kLinkref, 2}.encode();
  bytes[8] = std::byte{7};
  EXPECT_THROW(Key::decode(bytes), CorruptionError);
  EXPECT_THROW(Key::decode(ByteView(bytes).first(16)), CorruptionError);
}

TEST(NameSlot, IsAValidReaddirCookieWithRoomForTwins) {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t slot = name_slot_base("file-" + std::to_string(i));
    EXPECT_EQ(slot % kNameSlots, 0u);
    EXPECT_GE(slot, kNameSlots);
    EXPECT_LE(slot + kNameSlots - 1, static_cast<std::uint64_t>(INT64_MAX));
    seen.insert(slot);
  }
  EXPECT_GT(seen.size(), 19990u);
}

TEST(NameSlot, NeverChangesForAName) {
  EXPECT_EQ(name_slot_base("hello"), 0x55e8555c62dcfd00u);
  EXPECT_EQ(name_slot_base(""), 0x06800538d394c200u);
}

}  // namespace
}  // namespace varve
