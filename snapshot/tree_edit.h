// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "snapshot/key.h"
#include "snapshot/ptr.h"
#include "snapshot/tree.h"
#include "store/objects.h"

namespace varve {

/// One change: the record's new bytes, or none to remove it (removing what is absent is no error).
struct Change {
  Key key;
  std::optional<Bytes> value;
};

/// When nodes split and merge, in encoded bytes before compression. Tests make them small, for deep
/// trees of few records.
struct NodeLimits {
  std::size_t split_bytes = 16 * 1024;  ///< a larger node is split
  std::size_t merge_bytes = 5 * 1024;   ///< a smaller one is merged with a neighbour that has room
};

class OwnershipRules;

/// Whose tree is edited: pointers born after `parent_txg` belong to this head alone and are
/// released when they leave its tree; older ones belong to a snapshot.
struct EditContext {
  Txg txg = 0;         ///< the birth of every new pointer
  Txg parent_txg = 0;  ///< of the head's parent in the lineage; 0 without one
  NodeLimits limits{};
  const OwnershipRules* rules = nullptr;  ///< null: OwnershipRules::standard()
};

/// Applies `changes` (ascending keys, each once) to the tree at `root` and returns the new root,
/// none when it became empty. Touched nodes are put into `batch` with birth `context.txg`; replaced
/// nodes, and pointers of replaced or removed records that are not in the new record (same digest
/// and birth), are released if born after `context.parent_txg`. The caller has put the objects of
/// new pointers into `batch` already. A change whose value equals the present one keeps its
/// pointers and births; an edit that changes nothing returns `root` itself. A pointer never moves
/// to another key: the same object under another key is a birth of its own. Values longer than
/// kMaxValueBytes are bugs. Reads nodes that exist only in `batch`. Work: O(changes × depth).
std::optional<Ptr> edit_tree(NodeCache& cache, ObjectsBatch& batch, const std::optional<Ptr>& root,
                             std::span<const Change> changes, const EditContext& context);

}  // namespace varve
