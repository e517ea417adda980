// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "snapshot/lineage.h"
#include "snapshot/ptr.h"

namespace varve {

/// Who owns which pointer, and who takes its birth event back: every such decision of the snapshot
/// layer is one method here. The base class is the truth. Each method has a plausible wrong answer
/// that loses data or leaks space only after several more commands; tests/model/ownership_test.cc
/// derives those mistakes and shows that its checker catches each. Stateless: threads share it.
class OwnershipRules {
 public:
  virtual ~OwnershipRules() = default;

  /// A head drops a pointer from its tree: is the birth event its own to take back?
  virtual bool head_releases(Txg birth, Txg parent_txg) const { return birth > parent_txg; }

  /// Is a pointer of a replaced record still the pointer of the new one? Equal content with another
  /// birth is another event: the old one has left the tree.
  virtual bool same_event(const Ptr& before, const Ptr& after) const { return before == after; }

  /// A background deletion walks what the removed node owned, births after `lo`...
  virtual bool deletion_covers(Txg birth, Txg lo) const { return birth > lo; }

  /// ... and leaves what its child's tree holds. `frozen` is the child's root at the commit that
  /// removed the node, `live` the child's root now: what the child dropped later, it released.
  virtual std::optional<Ptr> compare_root(const std::optional<Ptr>& frozen,
                                          const std::optional<Ptr>& live) const {
    static_cast<void>(live);
    return frozen;
  }

  /// A node of the removed tree stands at the same place in the child's tree with equal content, so
  /// nothing below it differs. Its own event is released unless it is the child's too.
  virtual bool releases_equal_node(const Ptr& removed, const Ptr& of_child) const {
    return !(removed == of_child);
  }

  /// Both trees of a background deletion stay readable until it is finished.
  virtual bool deletion_holds_space() const { return true; }

  /// A snapshot to be deleted has `children`: with several it stays, hidden, for none of them
  /// alone can take over what it owns.
  virtual bool stays_hidden(std::uint32_t children) const { return children >= 2; }

  /// The parent of a new head that is cloned from `snapshot`.
  virtual std::optional<NodeId> parent_of_clone(const LineageNode& snapshot) const {
    return snapshot.id;
  }

  /// The parent of `head` after it was rolled back to `target`.
  virtual std::optional<NodeId> parent_after_rollback(const LineageNode& head,
                                                      const LineageNode& target) const {
    static_cast<void>(head);
    return target.id;
  }

  /// The rules that hold.
  static const OwnershipRules& standard();
};

}  // namespace varve
