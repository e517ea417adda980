// SPDX-License-Identifier: Apache-2.0
#include "snapshot/diff.h"

#include <algorithm>

#include "snapshot/node_cache.h"
#include "store/base/error.h"

namespace varve {
namespace {

/// Walks one tree in key order and can stand at a whole subtree without reading it. At each moment
/// it stands at a record, at a subtree, or at the end.
class DiffCursor {
 public:
  explicit DiffCursor(const Tree& tree) : cache_(tree.cache()) {
    if (!tree.root()) return;
    // The root's first key and level are known only after a read.
    root_ = *tree.root();
    root_node_ = cache_.read(root_.digest, Wait::kAllowed);
    at_root_ = true;
  }

  bool at_end() const { return !at_root_ && path_.empty(); }
  bool at_record() const { return !at_root_ && path_.back().node->is_leaf(); }
  /// Of the record or the first one of the subtree.
  const Key& key() const {
    return at_root_ ? root_node_->first_key() : path_.back().node->key(path_.back().index);
  }
  ByteView value() const { return path_.back().node->value(path_.back().index); }
  /// Of the subtree: 0 for a leaf.
  unsigned level() const { return at_root_ ? root_node_->level() : path_.back().node->level() - 1; }
  const Digest& digest() const {
    return at_root_ ? root_.digest : path_.back().node->child(path_.back().index).digest;
  }

  /// Moves to the first child or record of the subtree.
  void descend() {
    if (at_root_) {
      at_root_ = false;
      path_.push_back({root_node_, 0});
      return;
    }
    const Position& here = path_.back();
    std::shared_ptr<const Node> child = cache_.read(digest(), Wait::kAllowed);
    check_child(*here.node, here.index, *child);
    path_.push_back({std::move(child), 0});
  }

  /// Moves behind the record or subtree.
  void skip() {
    at_root_ = false;
    while (!path_.empty() && ++path_.back().index == path_.back().node->count()) path_.pop_back();
  }

 private:
  struct Position {
    std::shared_ptr<const Node> node;
    std::size_t index;
  };
  NodeCache& cache_;
  Ptr root_;
  std::shared_ptr<const Node> root_node_;
  bool at_root_ = false;
  std::vector<Position> path_;
};

using RecordVisitor =
    std::function<void(const Key&, const std::optional<Bytes>&, const std::optional<Bytes>&)>;

std::optional<Bytes> copy_of(ByteView value) { return Bytes(value.begin(), value.end()); }

class RecordDiff {
 public:
  RecordDiff(const Tree& before, const Tree& after, const RecordVisitor& visit)
      : before_(before), after_(after), visit_(visit) {}

  void run() {
    while (!before_.at_end() && !after_.at_end()) {
      // Whoever stands at the smaller key moves, so that the cursors meet at every common place;
      // a subtree of both trees is reached by both before either enters it.
      if (before_.key() < after_.key()) {
        step_removed();
      } else if (after_.key() < before_.key()) {
        step_added();
      } else {
        step_both();
      }
    }
    while (!before_.at_end()) step_removed();
    while (!after_.at_end()) step_added();
  }

 private:
  void step_removed() {
    if (!before_.at_record()) return before_.descend();
    visit_(before_.key(), copy_of(before_.value()), std::nullopt);
    before_.skip();
  }

  void step_added() {
    if (!after_.at_record()) return after_.descend();
    visit_(after_.key(), std::nullopt, copy_of(after_.value()));
    after_.skip();
  }

  void step_both() {
    const bool before_record = before_.at_record();
    const bool after_record = after_.at_record();
    if (before_record && after_record) return compare_records();
    if (before_record) return after_.descend();
    if (after_record) return before_.descend();
    if (before_.digest() == after_.digest()) {
      before_.skip();
      after_.skip();
      return;
    }
    const unsigned level = std::max(before_.level(), after_.level());
    const bool before_first = before_.level() == level;
    const bool after_first = after_.level() == level;
    if (before_first) before_.descend();
    if (after_first) after_.descend();
  }

  void compare_records() {
    if (!std::ranges::equal(before_.value(), after_.value())) {
      visit_(before_.key(), copy_of(before_.value()), copy_of(after_.value()));
    }
    before_.skip();
    after_.skip();
  }

  DiffCursor before_;
  DiffCursor after_;
  const RecordVisitor& visit_;
};

}  // namespace

void diff_records(const Tree& before, const Tree& after, const RecordVisitor& visit) {
  if (before.root() && after.root() && before.root()->digest == after.root()->digest) return;
  RecordDiff(before, after, visit).run();
}

}  // namespace varve
