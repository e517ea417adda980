// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree.h"

#include "snapshot/node_cache.h"

namespace varve {

std::optional<Bytes> Tree::find(const Key& key, Wait wait) const {
  if (!root_) return std::nullopt;
  std::shared_ptr<const Node> node = cache_->read(root_->digest, wait);
  while (!node->is_leaf()) {
    const std::size_t index = node->child_index(key);
    if (key < node->key(index)) return std::nullopt;
    std::shared_ptr<const Node> child = cache_->read(node->child(index).digest, wait);
    check_child(*node, index, *child);
    node = std::move(child);
  }
  const std::optional<std::size_t> index = node->find(key);
  if (!index) return std::nullopt;
  const ByteView value = node->value(*index);
  return Bytes(value.begin(), value.end());
}

void Tree::scan(const Key& first, const Key& last, Wait wait,
                const std::function<bool(const Key&, ByteView)>& visit) const {
  struct Position {
    std::shared_ptr<const Node> node;
    std::size_t index;
  };
  if (!root_ || !(first < last)) return;
  std::vector<Position> path;
  const auto enter = [&](std::shared_ptr<const Node> node) {
    const std::size_t index = node->is_leaf() ? node->lower_bound(first) : node->child_index(first);
    path.push_back({std::move(node), index});
  };
  enter(cache_->read(root_->digest, wait));
  while (!path.empty()) {
    const std::shared_ptr<const Node> node = path.back().node;
    const std::size_t index = path.back().index++;
    if (index >= node->count()) {
      path.pop_back();
      continue;
    }
    if (node->key(index) >= last) return;
    if (node->is_leaf()) {
      if (!visit(node->key(index), node->value(index))) return;
      continue;
    }
    std::shared_ptr<const Node> child = cache_->read(node->child(index).digest, wait);
    check_child(*node, index, *child);
    enter(std::move(child));
  }
}

}  // namespace varve
