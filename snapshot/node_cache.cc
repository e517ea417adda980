// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node_cache.h"

namespace varve {

NodeCache::NodeCache(Objects& objects, std::uint64_t capacity_bytes)
    : objects_(objects), nodes_(static_cast<std::size_t>(capacity_bytes)) {}

NodeCache::~NodeCache() = default;

std::shared_ptr<const Node> NodeCache::read(const Digest& digest, Wait wait) {
  if (auto node = nodes_.find(digest)) return node;
  auto node = Node::decode(objects_.read(digest, wait));
  insert(digest, node);
  return node;
}

std::shared_ptr<const Node> NodeCache::read(ObjectsBatch& batch, const Digest& digest) {
  if (auto node = nodes_.find(digest)) return node;
  auto node = Node::decode(batch.read(digest, Wait::kAllowed));
  insert(digest, node);
  return node;
}

void NodeCache::insert(const Digest& digest, const std::shared_ptr<const Node>& node) {
  nodes_.insert(digest, node, node->resident_bytes());
}

std::uint64_t NodeCache::resident_bytes() const { return nodes_.resident_bytes(); }

}  // namespace varve
