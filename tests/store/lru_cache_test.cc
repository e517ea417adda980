// SPDX-License-Identifier: Apache-2.0
#include "store/base/lru_cache.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace varve {
namespace {

/// All keys in one shard, so that the order of use is visible.
struct SameHash {
  std::size_t operator()(int) const { return 1; }
};

std::shared_ptr<const std::string> text(const std::string& value) {
  return std::make_shared<const std::string>(value);
}

TEST(LruCache, FindsWhatWasInserted) {
  LruCache<int, std::string> cache(16'000);
  EXPECT_EQ(cache.find(1), nullptr);
  cache.insert(1, text("one"), 100);
  ASSERT_NE(cache.find(1), nullptr);
  EXPECT_EQ(*cache.find(1), "one");
  EXPECT_EQ(cache.resident_bytes(), 100u);
  EXPECT_EQ(cache.hits(), 2u);
  EXPECT_EQ(cache.misses(), 1u);
}

TEST(LruCache, DropsWhatWasNotUsedForLongest) {
  LruCache<int, std::string, SameHash> cache(16 * 300);
  cache.insert(1, text("a"), 100);
  cache.insert(2, text("b"), 100);
  cache.insert(3, text("c"), 100);
  cache.find(1);
  cache.insert(4, text("d"), 100);
  EXPECT_EQ(cache.find(2), nullptr);
  EXPECT_NE(cache.find(1), nullptr);
  EXPECT_NE(cache.find(3), nullptr);
  EXPECT_NE(cache.find(4), nullptr);
}

TEST(LruCache, PeekChangesNeitherOrderNorFigures) {
  LruCache<int, std::string, SameHash> cache(16 * 200);
  cache.insert(1, text("a"), 100);
  cache.insert(2, text("b"), 100);
  EXPECT_NE(cache.peek(1), nullptr);
  cache.insert(3, text("c"), 100);
  EXPECT_EQ(cache.peek(1), nullptr);
  EXPECT_EQ(cache.hits() + cache.misses(), 0u);
}

TEST(LruCache, NeverHoldsMoreThanItsCapacity) {
  LruCache<int, std::string> cache(16'000);
  for (int i = 0; i < 1000; ++i) cache.insert(i, text("x"), 97);
  EXPECT_LE(cache.resident_bytes(), cache.capacity_bytes());
  EXPECT_GT(cache.resident_bytes(), cache.capacity_bytes() / 2);
}

TEST(LruCache, DoesNotKeepAValueHeavierThanAShard) {
  LruCache<int, std::string> cache(1600);
  cache.insert(1, text("old"), 10);
  cache.insert(1, text("heavy"), 101);
  EXPECT_EQ(cache.find(1), nullptr);
  EXPECT_EQ(cache.resident_bytes(), 0u);
}

TEST(LruCache, WithoutCapacityKeepsNothing) {
  LruCache<int, std::string> cache(0);
  cache.insert(1, text("a"), 1);
  EXPECT_EQ(cache.find(1), nullptr);
}

TEST(LruCache, ReplacesAnEarlierValueOfTheKey) {
  LruCache<int, std::string> cache(16'000);
  cache.insert(1, text("old"), 100);
  cache.insert(1, text("new"), 50);
  EXPECT_EQ(*cache.find(1), "new");
  EXPECT_EQ(cache.resident_bytes(), 50u);
}

TEST(LruCache, AHeldValueOutlivesItsEntry) {
  LruCache<int, std::string> cache(16'000);
  cache.insert(1, text("kept"), 100);
  const auto held = cache.find(1);
  cache.erase(1);
  cache.clear();
  EXPECT_EQ(cache.find(1), nullptr);
  EXPECT_EQ(*held, "kept");
}

TEST(LruCache, ServesSeveralThreads) {
  LruCache<int, std::string> cache(16 * 2000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 5000; ++i) {
        const int key = (i * 7 + t) % 300;
        if (const auto value = cache.find(key)) {
          EXPECT_EQ(*value, std::to_string(key));
        } else {
          cache.insert(key, text(std::to_string(key)), 100);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(cache.resident_bytes(), cache.capacity_bytes());
}

}  // namespace
}  // namespace varve
