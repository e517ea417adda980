// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree.h"

#include <gtest/gtest.h>

#include "store/base/error.h"
#include "tests/snapshot/tree_support.h"

namespace varve::test {
namespace {

Edits even_numbers(std::uint64_t count) {
  Edits out;
  for (std::uint64_t i = 1; i <= count; ++i) out[key_of(2 * i)] = bytes_of(std::to_string(2 * i));
  return out;
}

TEST(Tree, FindsWhatIsThereAndNothingElse) {
  TreeWorld world;
  world.edit(even_numbers(500), 1);
  const Tree tree = world.tree();
  for (std::uint64_t i = 0; i <= 1001; ++i) {
    const auto found = tree.find(key_of(i), Wait::kAllowed);
    if (i >= 2 && i % 2 == 0) {
      EXPECT_EQ(found, bytes_of(std::to_string(i)));
    } else {
      EXPECT_FALSE(found) << i;
    }
  }
  EXPECT_FALSE(tree.find(key_of(2, Kind::kDirent, 1), Wait::kAllowed));
}

TEST(Tree, WithoutARootIsEmpty) {
  TreeWorld world;
  EXPECT_FALSE(world.tree().find(key_of(1), Wait::kRefused));
  EXPECT_TRUE(world.contents().empty());
}

TEST(Tree, ScansHalfOpenRangesInOrder) {
  TreeWorld world;
  world.edit(even_numbers(300), 1);
  for (std::uint64_t first = 0; first < 620; first += 31) {
    for (std::uint64_t last = 0; last < 620; last += 29) {
      std::vector<std::uint64_t> seen;
      world.tree().scan(key_of(first), key_of(last), Wait::kAllowed,
                        [&](const Key& key, ByteView value) {
                          EXPECT_EQ(as_text(value), std::to_string(to_integer(key.ino)));
                          seen.push_back(to_integer(key.ino));
                          return true;
                        });
      std::vector<std::uint64_t> want;
      for (std::uint64_t i = 2; i <= 600; i += 2) {
        if (i >= first && i < last) want.push_back(i);
      }
      ASSERT_EQ(seen, want) << first << ".." << last;
    }
  }
}

TEST(Tree, StopsAScanWhenTheVisitorSaysSo) {
  TreeWorld world;
  world.edit(even_numbers(300), 1);
  int visits = 0;
  world.tree().scan(key_of(0), key_of(1000), Wait::kAllowed,
                    [&](const Key&, ByteView) { return ++visits < 5; });
  EXPECT_EQ(visits, 5);
}

TEST(Tree, ReadsOnlyNodesThatMeetTheRange) {
  TreeWorld world;
  world.edit(even_numbers(2000), 1);
  NodeCache cold(world.objects_, 1 << 20);
  const std::uint64_t before = world.objects_.reads();
  Tree(cold, world.root())
      .scan(key_of(1000), key_of(1003), Wait::kAllowed, [](const Key&, ByteView) { return true; });
  EXPECT_LE(world.objects_.reads() - before, 2 * world.height());
}

TEST(Tree, RefusesToWaitForADisk) {
  TreeWorld world;
  world.edit(even_numbers(500), 1);
  NodeCache cold(world.objects_, 1 << 20);
  const Tree tree(cold, world.root());
  world.objects_.refuse_first_touch(true);
  int refusals = 0;
  for (;;) {
    try {
      EXPECT_TRUE(tree.find(key_of(500), Wait::kRefused));
      break;
    } catch (const WouldBlock& would_block) {
      ++refusals;
      world.objects_.read(would_block.digest, Wait::kAllowed);
    }
  }
  EXPECT_EQ(refusals, static_cast<int>(world.height()));
}

TEST(Tree, ReportsDamageOnlyWhereItIs) {
  TreeWorld world;
  world.edit(even_numbers(500), 1);
  const auto root = Node::decode(world.objects_.read(world.root()->digest, Wait::kAllowed));
  world.objects_.damage(root->child(0).digest);
  NodeCache cold(world.objects_, 1 << 20);
  const Tree tree(cold, world.root());
  EXPECT_THROW(static_cast<void>(tree.find(key_of(2), Wait::kAllowed)), CorruptionError);
  EXPECT_TRUE(tree.find(key_of(1000), Wait::kAllowed));
}

TEST(Tree, RefusesAChildThatIsNotWhatItsParentSays) {
  TreeWorld world;
  auto batch = world.begin();
  NodeEncoder leaf(0);
  leaf.add(key_of(5), as_bytes("five"));
  const auto stored = batch->put(leaf.finish(), ObjectKind::kMetadata);
  NodeEncoder low(1);
  low.add(key_of(4), ptr_of(stored, 1));  // says that the child begins with 4
  const auto low_stored = batch->put(low.finish(), ObjectKind::kMetadata);
  NodeEncoder high(2);
  high.add(key_of(5), ptr_of(stored, 1));  // skips a level
  const auto high_stored = batch->put(high.finish(), ObjectKind::kMetadata);
  world.objects_.commit(std::move(batch));
  for (const auto& root : {low_stored, high_stored}) {
    const Tree tree(world.cache_, ptr_of(root, 1));
    EXPECT_THROW(static_cast<void>(tree.find(key_of(5), Wait::kAllowed)), CorruptionError);
    EXPECT_THROW(
        tree.scan({}, key_of(9), Wait::kAllowed, [](const Key&, ByteView) { return true; }),
        CorruptionError);
  }
}

}  // namespace
}  // namespace varve::test
