// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "snapshot/key.h"
#include "snapshot/ptr.h"
#include "store/objects.h"

namespace varve {

/// Longest value of one record in a tree, in bytes. With it and the split limit of NodeLimits every
/// node stays far below kMaxObjectBytes.
inline constexpr std::size_t kMaxValueBytes = 8 * 1024;

/// One node of a tree, decoded: a leaf with keys and values, or an inner node with the first key of
/// each child and the pointer to it. Never empty. Immutable, so threads share it freely.
///
/// Decoding checks form, order and counts once; afterwards keys are an array for binary search and
/// values are ranges of the encoded bytes, without an allocation per entry.
class Node {
 public:
  /// Levels above the leaves (level 0) that a tree can have.
  static constexpr unsigned kMaxLevel = 24;

  /// Throws CorruptionError when the bytes are not a well-formed node.
  static std::shared_ptr<const Node> decode(SharedBytes bytes);

  unsigned level() const { return level_; }
  bool is_leaf() const { return level_ == 0; }
  std::size_t count() const { return keys_.size(); }
  const Key& key(std::size_t index) const { return keys_[index]; }
  const Key& first_key() const { return keys_.front(); }
  const Key& last_key() const { return keys_.back(); }
  /// Of a leaf; valid while the node lives.
  ByteView value(std::size_t index) const {
    return ByteView(*bytes_).subspan(values_[index].offset, values_[index].size);
  }
  /// Of an inner node.
  const Ptr& child(std::size_t index) const { return children_[index]; }

  /// The index of `key`, if it is there.
  std::optional<std::size_t> find(const Key& key) const;
  /// The index of the first key ≥ `key`; count() if there is none.
  std::size_t lower_bound(const Key& key) const;
  /// The child whose range holds `key`: the last one that begins at or before it, else the first.
  std::size_t child_index(const Key& key) const;

  const Bytes& encoded() const { return *bytes_; }
  /// What the node holds in memory.
  std::size_t resident_bytes() const;

 private:
  struct Range {
    std::uint32_t offset;
    std::uint32_t size;
  };
  Node() = default;
  void decode_entries(std::uint32_t count);

  SharedBytes bytes_;
  unsigned level_ = 0;
  std::vector<Key> keys_;
  std::vector<Range> values_;  // of a leaf
  std::vector<Ptr> children_;  // of an inner node
};

/// Throws CorruptionError unless `child` is what entry `index` of `parent` promises: one level
/// lower, beginning with the entry's key and ending before the next one.
void check_child(const Node& parent, std::size_t index, const Node& child);

/// Writes the encoded form of one node, entries in ascending order.
class NodeEncoder {
 public:
  explicit NodeEncoder(unsigned level);

  /// For a leaf.
  void add(const Key& key, ByteView value);
  /// For an inner node.
  void add(const Key& key, const Ptr& child);
  /// The node's bytes; the encoder must not be used any more.
  Bytes finish();

  /// The bytes of an empty node.
  static constexpr std::size_t kHeaderBytes = 12;
  /// The most that an entry with `content_bytes` behind its key adds to a node.
  static constexpr std::size_t entry_bytes(std::size_t content_bytes) {
    return 1 + Key::kEncodedBytes + content_bytes;
  }
  /// The bytes of `value` with its length in front.
  static std::size_t value_bytes(ByteView value);
  static std::size_t child_bytes(const Ptr& child);

 private:
  void add_key(const Key& key);

  Bytes bytes_;
  unsigned level_;
  std::uint32_t count_ = 0;
  std::array<std::byte, Key::kEncodedBytes> previous_{};
};

}  // namespace varve
