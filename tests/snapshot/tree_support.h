// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "snapshot/node_cache.h"
#include "snapshot/record.h"
#include "snapshot/tree.h"
#include "snapshot/tree_edit.h"
#include "tests/support/memory_objects.h"

namespace varve::test {

/// Nodes with a handful of entries, so that few records make a deep tree.
inline constexpr NodeLimits kSmallNodes{320, 120};

inline Key key_of(std::uint64_t ino, Kind kind = Kind::kDirent, std::uint64_t sub = 0) {
  return {Ino{ino}, kind, sub};
}
inline Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}
inline Ptr ptr_of(const ObjectsBatch::Stored& stored, Txg birth) {
  return {stored.digest, stored.stored_bytes, stored.data_bytes, birth};
}
/// A region record whose only block is `ptr`.
inline Bytes region_of(const Ptr& ptr) {
  RegionRecord region;
  region.base = ptr;
  return region.encode();
}

using Contents = std::map<Key, Bytes>;
using Edits = std::map<Key, std::optional<Bytes>>;

inline std::vector<Change> changes_of(const Edits& edits) {
  std::vector<Change> out;
  for (const auto& [key, value] : edits) out.push_back({key, value});
  return out;
}

/// One tree in memory that is edited by one head.
class TreeWorld {
 public:
  explicit TreeWorld(NodeLimits limits = kSmallNodes) : limits_(limits) {}

  std::unique_ptr<ObjectsBatch> begin() { return objects_.begin(); }
  Tree tree() { return Tree(cache_, root_); }
  const std::optional<Ptr>& root() const { return root_; }

  /// Applies and commits; returns (births, releases) of the whole batch.
  std::pair<std::uint64_t, std::uint64_t> edit(const Edits& edits, Txg txg, Txg parent_txg = 0,
                                               std::unique_ptr<ObjectsBatch> batch = nullptr) {
    if (!batch) batch = objects_.begin();
    const std::vector<Change> changes = changes_of(edits);
    root_ = edit_tree(cache_, *batch, root_, changes, {txg, parent_txg, limits_, nullptr});
    const auto counts = dynamic_cast<MemoryBatch&>(*batch).counts();
    objects_.commit(std::move(batch));
    return counts;
  }

  Contents contents() {
    Contents out;
    tree().scan({}, {Ino{UINT64_MAX}, Kind::kLinkref, UINT64_MAX}, Wait::kAllowed,
                [&](const Key& key, ByteView value) {
                  EXPECT_TRUE(out.emplace(key, Bytes(value.begin(), value.end())).second);
                  return true;
                });
    return out;
  }

  /// Every birth event below the root, nodes and data, checking the shape on the way.
  std::map<Digest, std::uint64_t> recount() {
    std::map<Digest, std::uint64_t> out;
    if (root_) count(*root_, out);
    return out;
  }
  std::size_t nodes() {
    nodes_ = 0;
    recount();
    return nodes_;
  }
  unsigned height() { return root_ ? cache_.read(root_->digest, Wait::kAllowed)->level() + 1 : 0; }

  MemoryObjects objects_;
  NodeCache cache_{objects_, 64 << 20};
  const NodeLimits limits_;
  std::optional<Ptr> root_;

 private:
  void count(const Ptr& ptr, std::map<Digest, std::uint64_t>& out) {
    const std::shared_ptr<const Node> node =
        Node::decode(objects_.read(ptr.digest, Wait::kAllowed));
    ++nodes_;
    ++out[ptr.digest];
    EXPECT_LE(node->encoded().size(), limits_.split_bytes + kMaxValueBytes);
    for (std::size_t i = 0; i < node->count(); ++i) {
      if (node->is_leaf()) {
        visit_pointers(node->key(i).kind, node->value(i), [&](const Ptr& p) {
          EXPECT_LE(p.birth, ptr.birth);
          ++out[p.digest];
        });
        continue;
      }
      EXPECT_LE(node->child(i).birth, ptr.birth);
      check_child(*node, i, *Node::decode(objects_.read(node->child(i).digest, Wait::kAllowed)));
      count(node->child(i), out);
    }
  }
  std::size_t nodes_ = 0;
};

}  // namespace varve::test
