// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "snapshot/key.h"
#include "snapshot/ptr.h"
#include "store/objects.h"

namespace varve {

class NodeCache;

/// The immutable ordered map from Key to encoded record under one root. A value of two words plus a
/// pointer: copy freely. Safe to share between threads. An empty tree has no root.
class Tree {
 public:
  /// `cache` keeps decoded nodes and must outlive the tree.
  Tree(NodeCache& cache, std::optional<Ptr> root) : cache_(&cache), root_(root) {}

  const std::optional<Ptr>& root() const { return root_; }
  NodeCache& cache() const { return *cache_; }

  /// The record's bytes. WouldBlock and CorruptionError as Objects::read.
  std::optional<Bytes> find(const Key& key, Wait wait) const;

  /// Calls `visit` for the records with first ≤ key < last, ascending, until it returns false.
  void scan(const Key& first, const Key& last, Wait wait,
            const std::function<bool(const Key&, ByteView)>& visit) const;

 private:
  NodeCache* cache_;
  std::optional<Ptr> root_;
};

}  // namespace varve
