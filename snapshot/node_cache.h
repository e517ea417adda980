// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "snapshot/node.h"
#include "store/base/lru_cache.h"
#include "store/objects.h"

namespace varve {

/// Decoded nodes by digest, the least recently used dropped when they hold more than
/// `capacity_bytes`. Sharded; safe to share between threads.
class NodeCache {
 public:
  NodeCache(Objects& objects, std::uint64_t capacity_bytes);
  ~NodeCache();

  /// As Objects::read, decoded. WouldBlock when it is in neither cache and `wait` is kRefused.
  std::shared_ptr<const Node> read(const Digest& digest, Wait wait);
  /// As read, of a node that may so far exist only in `batch`.
  std::shared_ptr<const Node> read(ObjectsBatch& batch, const Digest& digest);
  /// Remembers a node that was just put into a batch. `digest` must be that of its bytes.
  void insert(const Digest& digest, const std::shared_ptr<const Node>& node);
  Objects& objects() const { return objects_; }
  std::uint64_t resident_bytes() const;

 private:
  Objects& objects_;
  LruCache<Digest, Node> nodes_;
};

}  // namespace varve
