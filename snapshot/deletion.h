// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "snapshot/catalog_rows.h"
#include "snapshot/node_cache.h"
#include "snapshot/ownership.h"

namespace varve {

/// Looks up places of one tree again and again with keys that mostly ascend: keeps the last leaf.
/// One thread.
class TreeProbe {
 public:
  TreeProbe(NodeCache& cache, std::optional<Ptr> root) : cache_(cache), root_(root) {}

  /// The pointer to the node of `level` that begins with `first`, if the tree has one.
  std::optional<Ptr> node_at(unsigned level, const Key& first);
  /// The record at `key`; valid until the next call.
  std::optional<ByteView> record(const Key& key);

 private:
  NodeCache& cache_;
  const std::optional<Ptr> root_;
  std::shared_ptr<const Node> leaf_;
};

/// Walks the birth events that a removed lineage node leaves behind: what its tree holds with
/// births after `lo`, less what the compared tree holds in the same place. Children come before
/// their node, so what is not done yet still has all nodes above it. The order depends on nothing
/// but the row: a cursor taken after any event continues exactly there. One thread.
class DeletionWalk {
 public:
  /// `compare` is the root to compare with. All arguments must outlive the walk.
  DeletionWalk(NodeCache& cache, const DeletionRow& row, const std::optional<Ptr>& compare,
               const OwnershipRules& rules);

  struct Budget {
    std::size_t events = SIZE_MAX;
    std::size_t node_reads = SIZE_MAX;
  };
  /// Calls `visit` for the next events, at most budget.events (≥ 1), and stops soon after
  /// budget.node_reads nodes; at least one subtree or event is done. True when all are done.
  /// After a CorruptionError cursor() covers exactly what was visited.
  bool run(const Budget& budget, const std::function<void(const Ptr&)>& visit);

  /// Where to continue; empty before the first event.
  const std::optional<DeletionCursor>& cursor() const { return cursor_; }

 private:
  bool walk_node(const Ptr& ptr, const Key& first, unsigned level, std::shared_ptr<const Node> node,
                 std::optional<DeletionCursor> resume);
  bool walk_children(const Node& node, const std::optional<DeletionCursor>& resume);
  bool walk_records(const Node& leaf, const std::optional<DeletionCursor>& resume);
  bool walk_record(const Key& key, ByteView value, std::size_t skip);
  bool visit(const Ptr& ptr);
  bool done_with(std::uint8_t level, const Key& key);

  NodeCache& cache_;
  const DeletionRow& row_;
  TreeProbe compare_;
  const OwnershipRules& rules_;
  std::optional<DeletionCursor> cursor_;
  Budget left_;
  const std::function<void(const Ptr&)>* visit_ = nullptr;
};

}  // namespace varve
