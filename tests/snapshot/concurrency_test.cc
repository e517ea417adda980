// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "snapshot/catalog_impl.h"
#include "tests/snapshot/tree_support.h"
#include "tests/support/memory_store.h"

namespace varve::test {
namespace {

constexpr std::uint64_t kRecords = 200;
constexpr int kRounds = 60;

/// Every record of one commit has the same content, so a reader sees a mixture at once.
std::optional<Ptr> write_round(Catalog::Change& change, NodeCache& cache, NodeId head, int round) {
  const Txg txg = change.next_txg(head);
  std::vector<Change> changes;
  for (std::uint64_t i = 1; i <= kRecords; ++i) {
    changes.push_back({key_of(i), bytes_of("round " + std::to_string(round))});
  }
  return edit_tree(cache, change.batch(), change.node(head).root, changes,
                   {txg, change.parent_txg(head), kSmallNodes, nullptr});
}

TEST(Concurrency, ReadersSeeWholeCommitsWhileOthersChangeAndDelete) {
  MemoryStore store;
  NodeCache cache(store.objects(), 256 * 1024);  // small: eviction happens too
  const auto catalog = load_catalog(store, cache, {kSmallNodes, nullptr, 8});
  VolumeRow volume;
  {
    auto change = catalog->begin();
    volume = change->create_volume("data", 0);
    change->set_root(volume.head, write_round(*change, cache, volume.head, 0));
    change->finish(store.journal().end());
  }
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      while (!done) {
        const auto pin = store.pin();
        const Tree tree(cache, catalog->node(volume.head).root);
        std::set<std::string> seen;
        std::size_t count = 0;
        tree.scan({}, key_of(UINT64_MAX), Wait::kAllowed, [&](const Key&, ByteView value) {
          seen.insert(std::string(as_text(value)));
          ++count;
          return true;
        });
        EXPECT_EQ(seen.size(), 1u);
        EXPECT_EQ(count, kRecords);
        for (const SnapshotRow& row : catalog->snapshots(volume.id)) {
          EXPECT_EQ(catalog->snapshot(volume.id, row.name).value_or(row).node, row.node);
        }
        EXPECT_TRUE(catalog->volume("data"));
      }
    });
  }
  threads.emplace_back([&] {  // gives space back
    while (!done) {
      catalog->delete_step(5, store.journal().end());
      store.reclaim();
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    auto change = catalog->begin();
    change->set_root(volume.head, write_round(*change, cache, volume.head, round));
    change->create_snapshot(volume.id, "s" + std::to_string(round), 0);
    if (round > 5) {
      change->delete_snapshot(*catalog->snapshot(volume.id, "s" + std::to_string(round - 5)));
    }
    change->finish(store.journal().end());
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  while (catalog->delete_step(1000, store.journal().end())) {
  }
  std::map<Digest, std::uint64_t> want;
  catalog->count_births([&](const Digest& digest) { ++want[digest]; });
  EXPECT_EQ(want, store.memory().references());
}

TEST(Concurrency, ChangesOfSeveralThreadsTakeTurns) {
  MemoryStore store;
  NodeCache cache(store.objects(), 1 << 20);
  const auto catalog = load_catalog(store, cache, {});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 25; ++i) {
        auto change = catalog->begin();
        change->create_volume("v" + std::to_string(thread) + "-" + std::to_string(i), 0);
        if (i % 5 != 0) change->finish(store.journal().end());  // the others are given up
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(catalog->volumes(false).size(), 80u);
  EXPECT_EQ(Catalog::load(store, cache)->volumes(false).size(), 80u);
}

}  // namespace
}  // namespace varve::test
