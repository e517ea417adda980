// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "snapshot/node.h"

namespace varve {

/// A node under construction during an edit: entries in order that are not encoded yet. Values are
/// views of the nodes they come from, which the draft holds, or of the edit's changes. Belongs to
/// one edit of one thread.
class NodeDraft {
 public:
  struct Entry {
    Key key;
    ByteView value;  ///< of a leaf
    Ptr child;       ///< of an inner node
  };

  explicit NodeDraft(unsigned level) : level_(level) {}
  /// All entries of `node`.
  explicit NodeDraft(const std::shared_ptr<const Node>& node);

  /// Keeps `node` alive as long as views of its values are in use.
  void hold(std::shared_ptr<const Node> node) { holders_.push_back(std::move(node)); }
  /// In ascending order. The value must outlive the draft or belong to a held node.
  void add(const Key& key, ByteView value);
  void add(const Key& key, const Ptr& child);
  /// Entries that were added behind all that the tree had here; see split.
  void set_appended(bool appended) { appended_ = appended; }

  unsigned level() const { return level_; }
  bool empty() const { return entries_.empty(); }
  std::size_t count() const { return entries_.size(); }
  const Key& first_key() const { return entries_.front().key; }
  const Key& last_key() const { return entries_.back().key; }
  const Entry& entry(std::size_t index) const { return entries_[index]; }
  /// Length of the encoded node, or a few bytes more.
  std::size_t size_bytes() const { return size_bytes_; }

  /// Takes the entries of `right`, which all come after the own ones.
  void append(NodeDraft&& right);
  /// Cuts into drafts of at most `split_bytes` (and one entry more). Where records are appended in
  /// ascending order, all but the last are full, so that such a tree is dense; else they are even.
  /// Inner drafts keep two entries or more, except the last, so that levels shrink upwards.
  std::vector<NodeDraft> split(std::size_t split_bytes) &&;

  Bytes encode() const;

 private:
  std::size_t cost_bytes(const Entry& entry) const;
  void push(const Entry& entry);

  unsigned level_;
  bool appended_ = false;
  std::size_t size_bytes_ = NodeEncoder::kHeaderBytes;
  std::vector<Entry> entries_;
  std::vector<std::shared_ptr<const Node>> holders_;
};

}  // namespace varve
