// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node.h"

#include <gtest/gtest.h>

#include "store/base/error.h"
#include "tests/snapshot/tree_support.h"

namespace varve::test {
namespace {

std::shared_ptr<const Node> decode(const Bytes& bytes) {
  return Node::decode(std::make_shared<const Bytes>(bytes));
}

Bytes leaf_of(std::initializer_list<std::uint64_t> inos) {
  NodeEncoder encoder(0);
  for (const std::uint64_t ino : inos) {
    encoder.add(key_of(ino), as_bytes("v" + std::to_string(ino)));
  }
  return encoder.finish();
}

Ptr any_ptr() {
  Ptr ptr;
  ptr.digest.bytes.fill(std::byte{0xab});
  ptr.stored_bytes = 200;
  ptr.data_bytes = 127;
  ptr.birth = 1;
  return ptr;
}

// clang-format off
TEST(Node, HasTheBytesOfTheFormat) {
  NodeEncoder leaf(0);
  leaf.add({Ino{1}, Kind::kInode, 0}, as_bytes("ab"));
  leaf.add({Ino{1}, Kind::kDirent, 0x100}, as_bytes("c"));
  EXPECT_EQ(to_hex(leaf.finish()),
            "564e4f44" "01" "00" "0000" "02000000"    // magic, version, level, flags, count
            "00" "0000000000000001" "02" "0000000000000000"   // whole key
            "02" "6162"
            "08" "04" "0000000000000100" "01" "63");   // 8 bytes shared
  NodeEncoder inner(3);
  inner.add({Ino{2}, Kind::kInode, 0}, any_ptr());
  std::string digest;
  for (int i = 0; i < 32; ++i) digest += "ab";
  EXPECT_EQ(to_hex(inner.finish()),
            "564e4f44" "01" "03" "0000" "01000000"
            "00" "0000000000000002" "02" "0000000000000000" + digest + "c801" "7f" "01" "00");
}
// clang-format on

TEST(Node, FindsKeysAndPlaces) {
  const auto node = decode(leaf_of({2, 4, 6}));
  EXPECT_EQ(node->count(), 3u);
  EXPECT_EQ(node->find(key_of(4)), 1u);
  EXPECT_FALSE(node->find(key_of(5)));
  EXPECT_EQ(node->lower_bound(key_of(5)), 2u);
  EXPECT_EQ(node->lower_bound(key_of(7)), 3u);
  EXPECT_EQ(node->child_index(key_of(1)), 0u);
  EXPECT_EQ(node->child_index(key_of(4)), 1u);
  EXPECT_EQ(node->child_index(key_of(100)), 2u);
  EXPECT_EQ(as_text(node->value(2)), "v6");
}

TEST(Node, SurvivesEveryFlippedByteAndEveryCut) {
  NodeEncoder inner(2);
  for (std::uint64_t i = 1; i < 5; ++i) inner.add(key_of(i * 1000), any_ptr());
  for (const Bytes& sample : {leaf_of({1, 2, 300, 70000}), inner.finish()}) {
    for (std::size_t i = 0; i < sample.size(); ++i) {
      EXPECT_THROW(decode(Bytes(sample.begin(), sample.begin() + static_cast<long>(i))),
                   CorruptionError);
      for (const int flip : {0x01, 0x04, 0x80, 0xff}) {
        Bytes broken = sample;
        broken[i] ^= static_cast<std::byte>(flip);
        try {
          const auto node = decode(broken);
          for (std::size_t k = 1; k < node->count(); ++k) EXPECT_LT(node->key(k - 1), node->key(k));
          for (std::size_t k = 0; node->is_leaf() && k < node->count(); ++k) node->value(k);
        } catch (const CorruptionError&) {
        }
      }
    }
  }
}

TEST(Node, RefusesWhatNoEncoderWrites) {
  Bytes empty = leaf_of({1});
  empty.resize(12);
  empty[8] = std::byte{0};
  EXPECT_THROW(decode(empty), CorruptionError);
  Bytes many = leaf_of({1});
  many[10] = std::byte{0xff};  // 16 million entries
  EXPECT_THROW(decode(many), CorruptionError);
  Bytes high = leaf_of({1});
  high[5] = std::byte{200};
  EXPECT_THROW(decode(high), CorruptionError);
  Bytes longer = leaf_of({1});
  longer.push_back(std::byte{0});
  EXPECT_THROW(decode(longer), CorruptionError);
}

TEST(Node, RefusesAValueThatNoEditCouldWriteBack) {
  NodeEncoder encoder(0);
  encoder.add(key_of(1), Bytes(kMaxValueBytes));
  EXPECT_EQ(decode(encoder.finish())->value(0).size(), kMaxValueBytes);
  NodeEncoder longer(0);
  longer.add(key_of(1), Bytes(kMaxValueBytes + 1));
  EXPECT_THROW(decode(longer.finish()), CorruptionError);
}

TEST(NodeCache, DropsWhatWasNotUsedForLongest) {
  TreeWorld world;
  Edits edits;
  for (std::uint64_t i = 0; i < 5000; ++i) edits[key_of(i)] = bytes_of(std::to_string(i));
  world.edit(edits, 1);
  NodeCache small(world.objects_, 64 * 1024);
  const Tree tree(small, world.root());
  for (std::uint64_t i = 0; i < 5000; ++i) EXPECT_TRUE(tree.find(key_of(i), Wait::kAllowed));
  EXPECT_LE(small.resident_bytes(), 64u * 1024);
  EXPECT_GT(small.resident_bytes(), 0u);
}

}  // namespace
}  // namespace varve::test
