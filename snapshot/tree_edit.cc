// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree_edit.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "snapshot/node_cache.h"
#include "snapshot/node_draft.h"
#include "snapshot/ownership.h"
#include "snapshot/record.h"
#include "store/base/error.h"

namespace varve {
namespace {

using Changes = std::span<const Change>;

struct Growth;

/// A subtree of the new tree: one that was not touched, or a draft of its root.
struct Piece {
  Key first;
  std::optional<Ptr> kept;
  std::unique_ptr<Growth> growth;
};

/// A draft with, in place of entries, the only child that it would have: if the draft becomes the
/// root, that child takes its place and must not have been stored as a child of anything.
struct Growth {
  explicit Growth(NodeDraft d) : draft(std::move(d)) {}
  NodeDraft draft;
  std::unique_ptr<Growth> sole;
};

Piece kept_piece(const Key& first, const Ptr& ptr) { return {first, ptr, nullptr}; }

Piece grown_piece(NodeDraft draft) {
  const Key first = draft.first_key();
  return {first, std::nullopt, std::make_unique<Growth>(std::move(draft))};
}

/// The parent, on `level`, of nothing but `child`.
Piece parent_of_sole(Piece child, unsigned level) {
  Piece out = {child.first, std::nullopt, std::make_unique<Growth>(NodeDraft(level))};
  out.growth->sole = std::move(child.growth);
  return out;
}

bool has_sole(const Piece& piece) { return !piece.kept && piece.growth->sole; }

/// One edit_tree. Nodes are drafted bottom-up and stored when nothing can change them any more: a
/// node once its parent has merged and split all its children.
class TreeEditor {
 public:
  TreeEditor(NodeCache& cache, ObjectsBatch& batch, const EditContext& context)
      : cache_(cache),
        batch_(batch),
        context_(context),
        rules_(context.rules != nullptr ? *context.rules : OwnershipRules::standard()) {}

  std::optional<Ptr> create(Changes changes);
  std::optional<Ptr> edit(const Ptr& root, Changes changes);

 private:
  /// A node that leaves the tree, until the new nodes of its level are stored: one of them may
  /// have the same content and then keeps the old pointer.
  struct Old {
    Ptr ptr;
    std::shared_ptr<const Node> node;
  };

  std::optional<Piece> edit_node(const Ptr& ptr, std::shared_ptr<const Node> node, Changes changes);
  std::optional<Piece> edit_leaf(const Ptr& ptr, const std::shared_ptr<const Node>& node,
                                 Changes changes);
  std::optional<Piece> edit_inner(const Ptr& ptr, const std::shared_ptr<const Node>& node,
                                  Changes changes);
  std::optional<Piece> close(const Ptr& ptr, const std::shared_ptr<const Node>& node,
                             std::vector<Piece> children);
  Piece join(std::vector<Piece> children, unsigned level);
  std::vector<Piece> merge_small(std::vector<Piece> pieces, unsigned level);
  Piece merge(Piece left, Piece right, unsigned level);
  bool should_merge(const Piece& left, const Piece& right) const;
  std::size_t size_bytes(const Piece& piece) const;
  std::vector<Piece> split_large(std::vector<Piece> pieces);
  NodeDraft parent_of(std::vector<Piece> pieces, unsigned level);

  Ptr finish(Piece piece);
  NodeDraft open(Piece piece, unsigned level);
  NodeDraft settle(Growth growth);
  Ptr store(const NodeDraft& draft);

  std::optional<Ptr> grow_root(Piece top);
  Ptr lower_root(Ptr root);

  std::shared_ptr<const Node> read(const Ptr& ptr) { return cache_.read(batch_, ptr.digest); }
  void leave(const Ptr& ptr, const std::shared_ptr<const Node>& node);
  void flush_old(unsigned level);
  void replace_pointers(Kind kind, ByteView before, const std::optional<Bytes>& after);
  void release(const Ptr& ptr);

  NodeCache& cache_;
  ObjectsBatch& batch_;
  const EditContext& context_;
  const OwnershipRules& rules_;
  std::array<std::map<Key, Old>, Node::kMaxLevel + 1> old_;
};

// ---- old pointers ------------------------------------------------------------------------------

void TreeEditor::release(const Ptr& ptr) {
  if (rules_.head_releases(ptr.birth, context_.parent_txg)) batch_.release(ptr.digest);
}

void TreeEditor::leave(const Ptr& ptr, const std::shared_ptr<const Node>& node) {
  const bool first_time = old_[node->level()].emplace(node->first_key(), Old{ptr, node}).second;
  VARVE_CHECK(first_time);
}

void TreeEditor::flush_old(unsigned level) {
  for (const auto& [first, old] : old_[level]) release(old.ptr);
  old_[level].clear();
}

void TreeEditor::replace_pointers(Kind kind, ByteView before, const std::optional<Bytes>& after) {
  if (!may_hold_pointers(kind)) return;
  std::vector<Ptr> gone;
  visit_pointers(kind, before, [&](const Ptr& ptr) { gone.push_back(ptr); });
  if (after) {
    visit_pointers(kind, *after, [&](const Ptr& ptr) {
      const auto same = std::find_if(gone.begin(), gone.end(), [&](const Ptr& candidate) {
        return rules_.same_event(candidate, ptr);
      });
      if (same != gone.end()) gone.erase(same);
    });
  }
  for (const Ptr& ptr : gone) release(ptr);
}

// ---- new nodes ---------------------------------------------------------------------------------

Ptr TreeEditor::store(const NodeDraft& draft) {
  Bytes encoded = draft.encode();
  auto& olds = old_[draft.level()];
  const auto old = olds.find(draft.first_key());
  if (old != olds.end() && old->second.node->encoded() == encoded) {
    const Ptr ptr = old->second.ptr;
    olds.erase(old);
    return ptr;
  }
  const ObjectsBatch::Stored stored = batch_.put(encoded, ObjectKind::kMetadata);
  cache_.insert(stored.digest, Node::decode(std::make_shared<const Bytes>(std::move(encoded))));
  return {stored.digest, stored.stored_bytes, stored.data_bytes, context_.txg};
}

NodeDraft TreeEditor::settle(Growth growth) {
  if (growth.sole) {
    NodeDraft child = settle(std::move(*growth.sole));
    growth.draft.add(child.first_key(), store(child));
  }
  return std::move(growth.draft);
}

Ptr TreeEditor::finish(Piece piece) {
  return piece.kept ? *piece.kept : store(settle(std::move(*piece.growth)));
}

/// The piece as a draft that can be merged.
NodeDraft TreeEditor::open(Piece piece, unsigned level) {
  if (!piece.kept) return settle(std::move(*piece.growth));
  const std::shared_ptr<const Node> node = read(*piece.kept);
  if (node->level() != level || node->first_key() != piece.first) {
    throw CorruptionError("tree node " + piece.kept->digest.hex() + ": not what its parent says");
  }
  leave(*piece.kept, node);
  return NodeDraft(node);
}

std::size_t TreeEditor::size_bytes(const Piece& piece) const {
  if (piece.kept) return piece.kept->data_bytes;
  // An only child will be one entry.
  return has_sole(piece) ? NodeEncoder::kHeaderBytes + NodeEncoder::entry_bytes(sizeof(Ptr))
                         : piece.growth->draft.size_bytes();
}

bool TreeEditor::should_merge(const Piece& left, const Piece& right) const {
  if (left.kept && right.kept) return false;
  const std::size_t left_bytes = size_bytes(left);
  const std::size_t right_bytes = size_bytes(right);
  return std::min(left_bytes, right_bytes) < context_.limits.merge_bytes &&
         left_bytes + right_bytes <= context_.limits.split_bytes;
}

std::vector<Piece> TreeEditor::merge_small(std::vector<Piece> pieces, unsigned level) {
  std::vector<Piece> out;
  out.reserve(pieces.size());
  for (Piece& piece : pieces) {
    if (out.empty() || !should_merge(out.back(), piece)) {
      out.push_back(std::move(piece));
      continue;
    }
    out.back() = merge(std::move(out.back()), std::move(piece), level);
  }
  return out;
}

Piece TreeEditor::merge(Piece left, Piece right, unsigned level) {
  if (has_sole(left) && has_sole(right)) {  // the children may fit together as well
    std::vector<Piece> children(2);
    children[0] = {left.first, std::nullopt, std::move(left.growth->sole)};
    children[1] = {right.first, std::nullopt, std::move(right.growth->sole)};
    return join(std::move(children), level);
  }
  NodeDraft merged = open(std::move(left), level);
  merged.append(open(std::move(right), level));
  return grown_piece(std::move(merged));
}

/// The node on `level` whose children are `children`, once these are merged and split.
Piece TreeEditor::join(std::vector<Piece> children, unsigned level) {
  children = split_large(merge_small(std::move(children), level - 1));
  if (children.size() == 1 && !children.front().kept) {
    return parent_of_sole(std::move(children.front()), level);
  }
  return grown_piece(parent_of(std::move(children), level - 1));
}

std::vector<Piece> TreeEditor::split_large(std::vector<Piece> pieces) {
  const std::size_t limit = context_.limits.split_bytes;
  std::vector<Piece> out;
  out.reserve(pieces.size());
  for (Piece& piece : pieces) {
    if (piece.kept || has_sole(piece) || piece.growth->draft.size_bytes() <= limit) {
      out.push_back(std::move(piece));
      continue;
    }
    for (NodeDraft& part : std::move(piece.growth->draft).split(limit)) {
      out.push_back(grown_piece(std::move(part)));
    }
  }
  return out;
}

NodeDraft TreeEditor::parent_of(std::vector<Piece> pieces, unsigned level) {
  NodeDraft draft(level + 1);
  for (Piece& piece : pieces) {
    const Key first = piece.first;
    draft.add(first, finish(std::move(piece)));
  }
  flush_old(level);
  return draft;
}

// ---- descent -----------------------------------------------------------------------------------

std::optional<Piece> TreeEditor::edit_node(const Ptr& ptr, std::shared_ptr<const Node> node,
                                           Changes changes) {
  return node->is_leaf() ? edit_leaf(ptr, node, changes) : edit_inner(ptr, node, changes);
}

std::optional<Piece> TreeEditor::edit_leaf(const Ptr& ptr, const std::shared_ptr<const Node>& node,
                                           Changes changes) {
  NodeDraft draft(0);
  draft.hold(node);
  bool changed = false;
  std::size_t index = 0;
  const auto copy_before = [&](std::size_t end) {
    for (; index < end; ++index) draft.add(node->key(index), node->value(index));
  };
  for (const Change& change : changes) {
    copy_before(node->lower_bound(change.key));
    const bool present = index < node->count() && node->key(index) == change.key;
    if (present && change.value && std::ranges::equal(node->value(index), *change.value)) continue;
    if (!present && !change.value) continue;
    changed = true;
    if (present) replace_pointers(change.key.kind, node->value(index++), change.value);
    if (change.value) draft.add(change.key, *change.value);
  }
  if (!changed) return kept_piece(node->first_key(), ptr);
  copy_before(node->count());
  leave(ptr, node);
  if (draft.empty()) return std::nullopt;
  draft.set_appended(draft.last_key() > node->last_key());
  return grown_piece(std::move(draft));
}

std::optional<Piece> TreeEditor::edit_inner(const Ptr& ptr, const std::shared_ptr<const Node>& node,
                                            Changes changes) {
  std::vector<Piece> children;
  children.reserve(node->count());
  bool changed = false;
  for (std::size_t i = 0; i < node->count(); ++i) {
    const auto end = i + 1 == node->count()
                         ? changes.end()
                         : std::lower_bound(changes.begin(), changes.end(), node->key(i + 1),
                                            [](const Change& change, const Key& key) {
                                              return change.key < key;
                                            });
    const Changes own(changes.begin(), end);
    changes = Changes(end, changes.end());
    if (own.empty()) {
      children.push_back(kept_piece(node->key(i), node->child(i)));
      continue;
    }
    std::shared_ptr<const Node> child = read(node->child(i));
    check_child(*node, i, *child);
    std::optional<Piece> piece = edit_node(node->child(i), std::move(child), own);
    changed = changed || !piece || !piece->kept;
    if (piece) children.push_back(std::move(*piece));
  }
  if (!changed) return kept_piece(node->first_key(), ptr);
  return close(ptr, node, std::move(children));
}

/// The new form of an inner node whose children are `children`.
std::optional<Piece> TreeEditor::close(const Ptr& ptr, const std::shared_ptr<const Node>& node,
                                       std::vector<Piece> children) {
  leave(ptr, node);
  const unsigned level = node->level() - 1;
  if (children.empty()) {
    flush_old(level);
    return std::nullopt;
  }
  Piece out = join(std::move(children), level + 1);
  if (!out.growth->sole) {
    out.growth->draft.set_appended(out.growth->draft.last_key() > node->last_key());
  }
  return out;
}

// ---- root --------------------------------------------------------------------------------------

/// Makes the draft of the topmost node a tree: an only child takes its parent's place, and a node
/// that is too large gets a parent.
std::optional<Ptr> TreeEditor::grow_root(Piece top) {
  while (has_sole(top)) {
    std::unique_ptr<Growth> sole = std::move(top.growth->sole);  // outlives its parent
    top.growth = std::move(sole);
  }
  for (;;) {
    const NodeDraft& draft = top.growth->draft;
    const unsigned level = draft.level();
    if (level > 0 && draft.count() == 1) return lower_root(draft.entry(0).child);
    std::vector<Piece> pieces;
    pieces.push_back(std::move(top));
    pieces = split_large(std::move(pieces));
    if (pieces.size() == 1) return finish(std::move(pieces.front()));
    // Trees of 2^64 records are lower: somebody has stacked nodes with one child each.
    if (level == Node::kMaxLevel) throw CorruptionError("tree node: the tree is too high");
    NodeDraft parent = parent_of(std::move(pieces), level);
    parent.set_appended(true);  // dense, should it be split at once
    top = grown_piece(std::move(parent));
  }
}

/// An untouched node became the root: while it has one child only, that is the root.
Ptr TreeEditor::lower_root(Ptr root) {
  for (;;) {
    const std::shared_ptr<const Node> node = read(root);
    if (node->is_leaf() || node->count() > 1) return root;
    release(root);
    root = node->child(0);
  }
}

std::optional<Ptr> TreeEditor::create(Changes changes) {
  NodeDraft draft(0);
  draft.set_appended(true);
  for (const Change& change : changes) {
    if (change.value) draft.add(change.key, *change.value);
  }
  if (draft.empty()) return std::nullopt;
  return grow_root(grown_piece(std::move(draft)));
}

std::optional<Ptr> TreeEditor::edit(const Ptr& root, Changes changes) {
  std::optional<Piece> top = edit_node(root, read(root), changes);
  if (top && top->kept) return top->kept;
  std::optional<Ptr> out;
  if (top) out = grow_root(std::move(*top));
  for (unsigned level = 0; level <= Node::kMaxLevel; ++level) flush_old(level);
  return out;
}

void check_changes(Changes changes) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    VARVE_CHECK(i == 0 || changes[i - 1].key < changes[i].key);
    VARVE_CHECK(!changes[i].value || changes[i].value->size() <= kMaxValueBytes);
  }
}

}  // namespace

std::optional<Ptr> edit_tree(NodeCache& cache, ObjectsBatch& batch, const std::optional<Ptr>& root,
                             std::span<const Change> changes, const EditContext& context) {
  check_changes(changes);
  if (changes.empty()) return root;
  TreeEditor editor(cache, batch, context);
  return root ? editor.edit(*root, changes) : editor.create(changes);
}

}  // namespace varve
