// SPDX-License-Identifier: Apache-2.0
#include "snapshot/deletion.h"

#include <algorithm>
#include <vector>

#include "snapshot/record.h"
#include "store/base/error.h"

namespace varve {

std::optional<Ptr> TreeProbe::node_at(unsigned level, const Key& first) {
  if (!root_) return std::nullopt;
  std::shared_ptr<const Node> node = cache_.read(root_->digest, Wait::kAllowed);
  if (node->level() < level) return std::nullopt;
  if (node->level() == level) return node->first_key() == first ? root_ : std::nullopt;
  for (;;) {
    const std::size_t index = node->child_index(first);
    if (node->level() == level + 1) {
      return node->key(index) == first ? std::optional(node->child(index)) : std::nullopt;
    }
    std::shared_ptr<const Node> child = cache_.read(node->child(index).digest, Wait::kAllowed);
    check_child(*node, index, *child);
    node = std::move(child);
  }
}

std::optional<ByteView> TreeProbe::record(const Key& key) {
  if (!root_) return std::nullopt;
  if (!leaf_ || key < leaf_->first_key() || leaf_->last_key() < key) {
    std::shared_ptr<const Node> node = cache_.read(root_->digest, Wait::kAllowed);
    while (!node->is_leaf()) {
      const std::size_t index = node->child_index(key);
      std::shared_ptr<const Node> child = cache_.read(node->child(index).digest, Wait::kAllowed);
      check_child(*node, index, *child);
      node = std::move(child);
    }
    leaf_ = std::move(node);
  }
  const std::optional<std::size_t> index = leaf_->find(key);
  if (!index) return std::nullopt;
  return leaf_->value(*index);
}

DeletionWalk::DeletionWalk(NodeCache& cache, const DeletionRow& row,
                           const std::optional<Ptr>& compare, const OwnershipRules& rules)
    : cache_(cache), row_(row), compare_(cache, compare), rules_(rules), cursor_(row.cursor) {}

bool DeletionWalk::run(const Budget& budget, const std::function<void(const Ptr&)>& visit) {
  VARVE_CHECK(budget.events > 0);
  left_ = budget;
  visit_ = &visit;
  if (!rules_.deletion_covers(row_.root.birth, row_.lo)) return true;
  const std::shared_ptr<const Node> root = cache_.read(row_.root.digest, Wait::kAllowed);
  const auto root_done = static_cast<std::uint8_t>(root->level() + 1);
  if (!cursor_ || cursor_->level < root_done) {
    walk_node(row_.root, root->first_key(), root->level(), root, cursor_);
  }
  return cursor_ && cursor_->level == root_done;
}

/// Calls the visitor, unless that is one event too many.
bool DeletionWalk::visit(const Ptr& ptr) {
  if (left_.events == 0) return false;
  (*visit_)(ptr);
  --left_.events;
  return true;
}

/// Moves the cursor; false when the budget is used up.
bool DeletionWalk::done_with(std::uint8_t level, const Key& key) {
  cursor_ = DeletionCursor{level, key, 0};
  return left_.events > 0 && left_.node_reads > 0;
}

/// False when the walk has to stop; cursor_ says where. `node` may be given when it is read.
bool DeletionWalk::walk_node(const Ptr& ptr, const Key& first, unsigned level,
                             std::shared_ptr<const Node> node,
                             std::optional<DeletionCursor> resume) {
  const std::optional<Ptr> other = compare_.node_at(level, first);
  const bool equal = other && other->digest == ptr.digest;
  if (!equal) {
    if (!node) node = cache_.read(ptr.digest, Wait::kAllowed);
    if (left_.node_reads > 0) --left_.node_reads;
    if (!(node->is_leaf() ? walk_records(*node, resume) : walk_children(*node, resume))) {
      return false;
    }
  }
  if (!equal || rules_.releases_equal_node(ptr, *other)) {
    if (!visit(ptr)) return false;
  }
  return done_with(static_cast<std::uint8_t>(level + 1), first);
}

bool DeletionWalk::walk_children(const Node& node, const std::optional<DeletionCursor>& resume) {
  std::size_t index = 0;
  bool inside = false;
  if (resume) {
    index = node.child_index(resume->key);
    inside = resume->level < node.level();  // the cursor is below that child
    if (!inside) ++index;
  }
  for (; index < node.count(); ++index) {
    const Ptr& ptr = node.child(index);
    if (rules_.deletion_covers(ptr.birth, row_.lo)) {
      std::shared_ptr<const Node> child;
      const std::optional<Ptr> other = compare_.node_at(node.level() - 1, node.key(index));
      if (!other || other->digest != ptr.digest) {
        child = cache_.read(ptr.digest, Wait::kAllowed);
        check_child(node, index, *child);
      }
      if (!walk_node(ptr, node.key(index), node.level() - 1, std::move(child),
                     inside ? resume : std::nullopt)) {
        return false;
      }
    }
    inside = false;
  }
  return true;
}

bool DeletionWalk::walk_records(const Node& leaf, const std::optional<DeletionCursor>& resume) {
  std::size_t index = 0;
  std::size_t skip = 0;
  if (resume) {
    index = leaf.lower_bound(resume->key);
    skip = resume->released;
    if (skip == 0 && index < leaf.count() && leaf.key(index) == resume->key) ++index;
  }
  for (; index < leaf.count(); ++index) {
    const Key& key = leaf.key(index);
    if (may_hold_pointers(key.kind) && !walk_record(key, leaf.value(index), skip)) {
      return false;
    }
    skip = 0;
  }
  return true;
}

/// `skip` events of the record are done already.
bool DeletionWalk::walk_record(const Key& key, ByteView value, std::size_t skip) {
  std::vector<Ptr> own;
  visit_pointers(key.kind, value, [&](const Ptr& ptr) {
    if (rules_.deletion_covers(ptr.birth, row_.lo)) own.push_back(ptr);
  });
  if (own.empty()) return true;
  if (const std::optional<ByteView> other = compare_.record(key)) {
    visit_pointers(key.kind, *other, [&](const Ptr& ptr) {
      const auto same = std::find(own.begin(), own.end(), ptr);
      if (same != own.end()) own.erase(same);
    });
  }
  for (std::size_t i = skip; i < own.size(); ++i) {
    if (!visit(own[i])) return false;
    cursor_ = DeletionCursor{0, key, static_cast<std::uint8_t>(i + 1)};
  }
  return own.empty() || done_with(0, key);
}

}  // namespace varve
