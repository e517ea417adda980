// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree_edit.h"

#include <gtest/gtest.h>

#include <random>

#include "store/base/error.h"
#include "tests/snapshot/tree_support.h"

namespace varve::test {
namespace {

Edits numbered(std::uint64_t first, std::uint64_t last, const std::string& text) {
  Edits out;
  for (std::uint64_t i = first; i < last; ++i) out[key_of(i)] = bytes_of(text + std::to_string(i));
  return out;
}

TEST(TreeEdit, AgreesWithAMapUnderRandomEdits) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    TreeWorld world;
    Contents model;
    for (Txg txg = 1; txg <= 60; ++txg) {
      Edits changes;
      const std::uint64_t span = random() % 3 == 0 ? 400 : 30;
      const std::uint64_t base = random() % 400;
      const bool shrink = txg > 40;
      for (std::uint64_t i = random() % 40; i > 0; --i) {
        const Key key = key_of(base + random() % span, Kind::kDirent, random() % 3);
        if (random() % 10 < (shrink ? 8 : 3)) {
          changes[key] = std::nullopt;
        } else {
          changes[key] = Bytes(random() % 60, static_cast<std::byte>(random() % 4));
        }
      }
      for (const auto& [key, value] : changes) {
        if (value) {
          model[key] = *value;
        } else {
          model.erase(key);
        }
      }
      world.edit(changes, txg);
      ASSERT_EQ(world.contents(), model) << "txg " << txg;
      ASSERT_EQ(world.recount(), world.objects_.references()) << "txg " << txg;
    }
    Edits all;
    for (const auto& [key, value] : model) all[key] = std::nullopt;
    world.edit(all, 100);
    EXPECT_FALSE(world.root());
    EXPECT_TRUE(world.objects_.references().empty());
  }
}

TEST(TreeEdit, CountsTheObjectsThatRecordsPointTo) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    TreeWorld world;
    for (Txg txg = 1; txg <= 60; ++txg) {
      Edits changes;
      auto batch = world.begin();
      const auto put = [&] {
        const std::string text = "data" + std::to_string(random() % 12);
        return ptr_of(batch->put(as_bytes(text), ObjectKind::kData), txg);
      };
      for (std::uint64_t i = random() % 20; i > 0; --i) {
        const Key key = key_of(random() % 50 + 1, Kind::kRegion, random() % 4);
        if (changes.contains(key)) continue;
        if (random() % 3 == 0) {
          changes[key] = std::nullopt;
          continue;
        }
        RegionRecord region;
        if (const auto old = world.tree().find(key, Wait::kAllowed)) {
          region = RegionRecord::decode(*old);  // keeps some of the old pointers
        }
        if (random() % 2 == 0) region.base = put();
        if (random() % 4 == 0) region.blocks.fill(std::nullopt);
        region.blocks[random() % kBlocksPerRegion] = put();
        changes[key] = region.encode();
      }
      world.edit(changes, txg, 0, std::move(batch));
      ASSERT_EQ(world.recount(), world.objects_.references()) << "txg " << txg;
    }
  }
}

TEST(TreeEdit, KeepsTheRootWhenNothingChanges) {
  TreeWorld world;
  world.edit(numbered(0, 200, "v"), 1);
  const Ptr root = *world.root();
  auto changes = numbered(50, 60, "v");
  changes[key_of(5000)] = std::nullopt;
  const auto counts = world.edit(changes, 2);
  EXPECT_EQ(*world.root(), root);
  EXPECT_EQ(counts, std::make_pair(std::uint64_t{0}, std::uint64_t{0}));
  EXPECT_EQ(world.edit({}, 3).first, 0u);
}

TEST(TreeEdit, OfNothingOnNothingIsNothing) {
  TreeWorld world;
  world.edit({{key_of(1), std::nullopt}}, 1);
  EXPECT_FALSE(world.root());
  EXPECT_TRUE(world.contents().empty());
}

TEST(TreeEdit, RewritesOnlyThePathOfOneChange) {
  TreeWorld world;
  world.edit(numbered(0, 2000, "value"), 1);
  const auto counts = world.edit({{key_of(1000), bytes_of("VALUE1000")}}, 2);
  EXPECT_EQ(counts.first, world.height());
  EXPECT_EQ(counts.second, world.height());
}

TEST(TreeEdit, TouchesEachNodeOnceHoweverManyChanges) {
  TreeWorld world;
  world.edit(numbered(0, 2000, "value"), 1);
  const std::size_t nodes = world.nodes();
  const auto counts = world.edit(numbered(0, 2000, "VALUE"), 2);
  EXPECT_EQ(counts.first, world.nodes());
  EXPECT_EQ(counts.second, nodes);
}

TEST(TreeEdit, PacksAscendingRecordsDensely) {
  TreeWorld at_once(NodeLimits{});
  at_once.edit(numbered(0, 20000, "some value of a record "), 1);
  TreeWorld step_by_step(NodeLimits{});
  for (Txg txg = 1; txg <= 40; ++txg) {
    step_by_step.edit(numbered((txg - 1) * 500, txg * 500, "some value of a record "), txg);
  }
  EXPECT_EQ(at_once.contents(), step_by_step.contents());
  EXPECT_LE(at_once.nodes(), 20000u * 41 / (16 * 1024) + 4);
  EXPECT_LE(step_by_step.nodes(), at_once.nodes() * 5 / 4);
}

TEST(TreeEdit, StaysBalancedWhenRecordsLeaveEverywhere) {
  TreeWorld world;
  world.edit(numbered(0, 3000, "value"), 1);
  Edits changes;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    if (i % 50 != 0) changes[key_of(i)] = std::nullopt;
  }
  world.edit(changes, 2);
  EXPECT_EQ(world.contents().size(), 60u);
  TreeWorld fresh;
  Edits left;
  for (const auto& [key, value] : world.contents()) left[key] = value;
  fresh.edit(left, 1);
  EXPECT_LE(world.nodes(), fresh.nodes() * 3);
  EXPECT_LE(world.height(), fresh.height() + 1);
}

TEST(TreeEdit, MakesTheLastChildTheRoot) {
  TreeWorld world;
  world.edit(numbered(0, 5000, "value"), 1);
  ASSERT_GE(world.height(), 4u);
  Edits changes;
  for (std::uint64_t i = 1; i < 5000; ++i) changes[key_of(i)] = std::nullopt;
  world.edit(changes, 2);
  EXPECT_EQ(world.height(), 1u);
  EXPECT_EQ(world.recount(), world.objects_.references());
}

TEST(TreeEdit, LeavesWhatASnapshotOwns) {
  TreeWorld world;
  world.edit(numbered(0, 500, "value"), 1);
  const auto snapshot_root = world.root();
  const auto references = world.objects_.references();
  // A snapshot at txg 2 is now the parent: the head's edits release nothing of the tree above.
  EXPECT_EQ(world.edit(numbered(100, 120, "other"), 3, 2).second, 0u);
  const auto counts = world.edit(numbered(100, 120, "third"), 4, 2);
  EXPECT_GT(counts.second, 0u);
  EXPECT_EQ(counts.first, counts.second);
  for (const auto& [digest, count] : references) {
    EXPECT_GE(world.objects_.references(digest), count);
  }
  world.objects_.reclaim();
  world.root_ = snapshot_root;
  EXPECT_EQ(world.contents().size(), 500u);
}

/// Forwards to a batch and remembers what was put and released.
class SpyBatch : public ObjectsBatch {
 public:
  explicit SpyBatch(ObjectsBatch& batch) : batch_(batch) {}
  Stored put(ByteView content, ObjectKind kind, Effort effort) override {
    const Stored stored = batch_.put(content, kind, effort);
    ++put_[stored.digest];
    return stored;
  }
  Stored retain(const Digest& digest) override { return batch_.retain(digest); }
  void release(const Digest& digest) override {
    ++released_[digest];
    batch_.release(digest);
  }
  SharedBytes read(const Digest& digest, Wait wait) override { return batch_.read(digest, wait); }

  std::map<Digest, int> put_;
  std::map<Digest, int> released_;

 private:
  ObjectsBatch& batch_;
};

TEST(TreeEdit, NeverStoresANodeThatTheSameEditDrops) {
  std::mt19937_64 random(7);
  TreeWorld world;
  for (Txg txg = 1; txg <= 80; ++txg) {
    Edits changes;
    const std::uint64_t base = random() % 600;
    for (std::uint64_t i = 0; i < 60; ++i) {
      const bool remove = random() % 10 < (txg % 20 > 10 ? 9 : 2);
      changes[key_of(base + random() % 100)] =
          remove ? std::nullopt : std::optional(bytes_of(std::to_string(random() % 100000)));
    }
    const std::vector<Change> list = changes_of(changes);
    auto batch = world.begin();
    SpyBatch spy(*batch);
    world.root_ = edit_tree(world.cache_, spy, world.root_, list, {txg, 0, kSmallNodes, nullptr});
    world.objects_.commit(std::move(batch));
    const auto live = world.recount();
    for (const auto& [digest, count] : spy.put_) {
      EXPECT_EQ(count, 1);
      EXPECT_TRUE(live.contains(digest)) << "stored in vain at txg " << txg;
      EXPECT_FALSE(spy.released_.contains(digest)) << "replaced by itself at txg " << txg;
    }
    ASSERT_EQ(live, world.objects_.references());
  }
}

TEST(TreeEdit, ReadsNodesOfItsOwnBatch) {
  TreeWorld world;
  auto batch = world.begin();
  NodeCache no_cache(world.objects_, 0);
  auto root = edit_tree(no_cache, *batch, std::nullopt, changes_of(numbered(0, 100, "a")),
                        {1, 0, kSmallNodes, nullptr});
  root = edit_tree(no_cache, *batch, root, changes_of(numbered(20, 30, "b")),
                   {2, 0, kSmallNodes, nullptr});
  world.objects_.commit(std::move(batch));
  world.root_ = root;
  EXPECT_EQ(world.contents().size(), 100u);
  EXPECT_EQ(world.contents()[key_of(25)], bytes_of("b25"));
  EXPECT_EQ(world.recount(), world.objects_.references());
}

TEST(TreeEdit, FailsOnADamagedNodeAndChangesNothing) {
  TreeWorld world;
  world.edit(numbered(0, 500, "value"), 1);
  const auto references = world.objects_.references();
  const auto root = world.root();
  const Ptr victim = Node::decode(world.objects_.read(root->digest, Wait::kAllowed))->child(0);
  world.objects_.damage(victim.digest);
  NodeCache cold(world.objects_, 1 << 20);
  auto batch = world.begin();
  const std::vector<Change> changes{{key_of(0), bytes_of("x")}};
  EXPECT_THROW(static_cast<void>(edit_tree(cold, *batch, root, changes, {2, 0})), CorruptionError);
  batch.reset();
  EXPECT_EQ(world.objects_.references(), references);
}

TEST(TreeEdit, HoldsTheLongestValues) {
  TreeWorld world(NodeLimits{});
  Edits changes;
  for (std::uint64_t i = 0; i < 40; ++i) {
    changes[key_of(i)] = Bytes(kMaxValueBytes, static_cast<std::byte>(i));
  }
  world.edit(changes, 1);
  EXPECT_EQ(world.contents().size(), 40u);
  EXPECT_EQ(world.recount(), world.objects_.references());
}

}  // namespace
}  // namespace varve::test
