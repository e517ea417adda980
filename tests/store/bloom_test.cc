// SPDX-License-Identifier: Apache-2.0
#include "store/bloom.h"

#include <gtest/gtest.h>

namespace varve {
namespace {

Digest digest_of_number(std::uint64_t number) {
  return digest_of({reinterpret_cast<const std::byte*>(&number), sizeof number});
}

TEST(BloomFilter, NeverDeniesWhatItHolds) {
  BloomFilter filter(10'000);
  for (std::uint64_t i = 0; i < 20'000; ++i)
    filter.insert(digest_of_number(i));  // over capacity too
  for (std::uint64_t i = 0; i < 20'000; ++i) EXPECT_TRUE(filter.may_contain(digest_of_number(i)));
  EXPECT_EQ(filter.inserted(), 20'000u);
}

TEST(BloomFilter, SeldomClaimsWhatItDoesNotHold) {
  BloomFilter filter(10'000);
  for (std::uint64_t i = 0; i < 10'000; ++i) filter.insert(digest_of_number(i));
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 10'000; i < 30'000; ++i) wrong += filter.may_contain(digest_of_number(i));
  EXPECT_LT(wrong, 20'000u * 2 / 100);
}

TEST(BloomFilter, WorksWithoutCapacity) {
  BloomFilter filter(0);
  EXPECT_FALSE(filter.may_contain(digest_of_number(1)));
  filter.insert(digest_of_number(1));
  EXPECT_TRUE(filter.may_contain(digest_of_number(1)));
}

}  // namespace
}  // namespace varve
