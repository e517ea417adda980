// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_set>

#include "snapshot/key.h"
#include "snapshot/node_cache.h"
#include "snapshot/tree.h"

namespace varve {

/// Takes what was found wrong: the inode it is about (0: the tree as a whole) and a sentence.
using TreeProblem = std::function<void(Ino ino, const std::string& sentence)>;

/// Checks the form of trees: every node can be read and is what its parent promises, births do not
/// grow towards the leaves, every record can be decoded. Nodes that were sound in an earlier tree
/// are not read again. Waits for disks. One thread.
class TreeForm {
 public:
  explicit TreeForm(NodeCache& cache) : cache_(cache) {}

  void check(const std::optional<Ptr>& root, const TreeProblem& problem);
  std::uint64_t nodes() const { return sound_.size(); }

 private:
  bool check_node(const Ptr& ptr, const Node& node, const TreeProblem& problem);
  bool check_leaf(const Ptr& ptr, const Node& leaf, const TreeProblem& problem);

  NodeCache& cache_;
  std::unordered_set<Digest> sound_;
};

/// Checks that the records of one volume's tree agree: link counts against names, places of names,
/// sizes of directories, flags, orphans, the head's counters. docs/format.md, "Operations", has the
/// rules. Memory is bounded: big trees are read several times, each for a range of inode numbers.
/// The tree's form must be sound: throws CorruptionError else. Returns the inodes.
std::uint64_t check_inodes(const Tree& tree, const TreeProblem& problem);

}  // namespace varve
