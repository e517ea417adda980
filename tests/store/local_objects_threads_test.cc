// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "store/base/error.h"
#include "store/local_objects.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::LocalStore;
using test::random_content;
using test::text_content;

StoreOptions small_cached_segments() {
  StoreOptions options = LocalStore::small_options();
  options.object_cache_bytes = 64 << 10;  // most reads reach the segments
  options.segment_bytes = 128 << 10;
  return options;
}

TEST(LocalObjectsThreads, SeveralThreadsFillOneBatch) {
  LocalStore store(small_cached_segments());
  auto batch = store->begin();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&batch] {
      for (std::uint64_t i = 0; i < 100; ++i) {  // the same contents in every thread
        const ObjectKind kind = i % 5 == 0 ? ObjectKind::kMetadata : ObjectKind::kData;
        const auto stored = batch->put(random_content(i, 2000), kind);
        batch->retain(stored.digest);
        batch->release(stored.digest);
        EXPECT_EQ(*batch->read(stored.digest, Wait::kAllowed), random_content(i, 2000));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  store.commit(std::move(batch));
  const auto references = store.references();
  EXPECT_EQ(references.size(), 100u);
  for (const auto& [digest, count] : references) EXPECT_EQ(count, 4u);
}

/// The generation of content that slot `slot` holds after `round`.
Bytes content_of(std::uint64_t slot, std::uint64_t round) {
  return random_content(slot * 100'000 + round, 3000);
}

TEST(LocalObjectsThreads, ReadsPutsReclaimAndCompactionRunTogether) {
  constexpr std::uint64_t kSlots = 40;
  constexpr std::uint64_t kRounds = 60;
  LocalStore store(small_cached_segments());
  std::atomic<std::uint64_t> published{0};
  std::atomic<bool> done{false};
  {
    auto batch = store->begin();
    for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
      batch->put(content_of(slot, 0), slot % 4 == 0 ? ObjectKind::kMetadata : ObjectKind::kData);
    }
    store.commit(std::move(batch));
  }
  // Slot s changes in the rounds that are equal to s modulo 3.
  const auto last_change = [](std::uint64_t slot, std::uint64_t round) {
    while (round > 0 && round % 3 != slot % 3) --round;
    return round;
  };

  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      while (!done.load()) {
        const std::uint64_t slot = random() % kSlots;
        // Under the pin everything alive at its commit stays readable.
        const auto pin = store->pins().pin();
        const std::uint64_t round = pin->csn() - 1;
        const Bytes expected = content_of(slot, last_change(slot, round));
        EXPECT_EQ(*store->read(digest_of(expected), Wait::kAllowed), expected);
      }
    });
  }
  threads.emplace_back([&] {
    LocalObjects::ReclaimLimits limits;
    limits.retire_from_bytes = 0;
    while (!done.load()) store->reclaim(limits);
  });
  threads.emplace_back([&] {
    while (!done.load()) {
      store->checkpoint();
      store->figures();
      auto dropped = store->begin();
      dropped->put(random_content(999'999, 3000), ObjectKind::kData);
    }
  });

  for (std::uint64_t round = 1; round <= kRounds; ++round) {
    auto batch = store->begin();
    for (std::uint64_t slot = round % 3; slot < kSlots; slot += 3) {
      batch->put(content_of(slot, round),
                 slot % 4 == 0 ? ObjectKind::kMetadata : ObjectKind::kData);
      batch->release(digest_of(content_of(slot, last_change(slot, round - 1))));
    }
    store.commit(std::move(batch));
    published.store(round);
  }
  done.store(true);
  for (std::thread& thread : threads) thread.join();

  for (int round = 0; round < 5; ++round) store->reclaim();
  store.reopen();
  const auto references = store.references();
  EXPECT_EQ(references.size(), kSlots);
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
    const Bytes expected = content_of(slot, last_change(slot, kRounds));
    EXPECT_EQ(references.at(digest_of(expected)), 1u);
    EXPECT_EQ(store.read(digest_of(expected)), expected);
    EXPECT_TRUE(store->verify(digest_of(expected)));
  }
  EXPECT_TRUE(store->damaged().empty());
}

TEST(LocalObjectsThreads, DeduplicationRacesWithReclaim) {
  LocalStore store(small_cached_segments());
  std::atomic<bool> done{false};
  std::thread reclaimer([&] {
    LocalObjects::ReclaimLimits limits;
    limits.retire_from_bytes = 0;
    while (!done.load()) store->reclaim(limits);
  });
  // Twenty contents die and come back again and again.
  std::map<Digest, Bytes> alive;
  std::mt19937_64 random(7);
  SCOPED_TRACE("seed 7");
  for (int round = 0; round < 150; ++round) {
    auto batch = store->begin();
    for (std::uint64_t i = 0; i < 20; ++i) {
      if (random() % 2 == 0) continue;
      const Bytes content = random_content(i, 2500);
      const Digest digest = digest_of(content);
      if (alive.erase(digest) != 0) {
        batch->release(digest);
      } else {
        batch->put(content, ObjectKind::kData);
        alive.emplace(digest, content);
      }
    }
    store.commit(std::move(batch));
    for (const auto& [digest, content] : alive) {
      ASSERT_EQ(*store->read(digest, Wait::kAllowed), content);
    }
  }
  done.store(true);
  reclaimer.join();
  store.reopen();
  EXPECT_EQ(store.references().size(), alive.size());
  for (const auto& [digest, content] : alive) EXPECT_EQ(store.read(digest), content);
}

}  // namespace
}  // namespace varve
