// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node_draft.h"

#include <algorithm>
#include <bit>

#include "store/base/error.h"

namespace varve {
namespace {

std::size_t shared_bytes(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::size_t>(std::countl_zero(a ^ b)) / 8;
}

/// Leading bytes that the encoded forms of two different keys share.
std::size_t shared_bytes(const Key& a, const Key& b) {
  if (a.ino != b.ino) return shared_bytes(to_integer(a.ino), to_integer(b.ino));
  if (a.kind != b.kind) return 8;
  return 9 + shared_bytes(a.sub, b.sub);
}

}  // namespace

NodeDraft::NodeDraft(const std::shared_ptr<const Node>& node) : level_(node->level()) {
  hold(node);
  entries_.reserve(node->count());
  for (std::size_t i = 0; i < node->count(); ++i) {
    if (node->is_leaf()) {
      add(node->key(i), node->value(i));
    } else {
      add(node->key(i), node->child(i));
    }
  }
}

std::size_t NodeDraft::cost_bytes(const Entry& entry) const {
  const std::size_t content =
      level_ == 0 ? NodeEncoder::value_bytes(entry.value) : NodeEncoder::child_bytes(entry.child);
  const std::size_t shared = entries_.empty() ? 0 : shared_bytes(last_key(), entry.key);
  return NodeEncoder::entry_bytes(content) - shared;
}

void NodeDraft::push(const Entry& entry) {
  VARVE_CHECK(entries_.empty() || last_key() < entry.key);
  size_bytes_ += cost_bytes(entry);
  entries_.push_back(entry);
}

void NodeDraft::add(const Key& key, ByteView value) { push({key, value, {}}); }

void NodeDraft::add(const Key& key, const Ptr& child) { push({key, {}, child}); }

void NodeDraft::append(NodeDraft&& right) {
  VARVE_CHECK(level_ == right.level_);
  for (const Entry& entry : right.entries_) push(entry);
  for (auto& holder : right.holders_) hold(std::move(holder));
  appended_ = right.appended_;
}

std::vector<NodeDraft> NodeDraft::split(std::size_t split_bytes) && {
  std::vector<NodeDraft> out;
  if (size_bytes_ <= split_bytes) {
    out.push_back(std::move(*this));
    return out;
  }
  const std::size_t pieces = (size_bytes_ + split_bytes - 1) / split_bytes;
  const std::size_t target = appended_ ? split_bytes : (size_bytes_ + pieces - 1) / pieces;
  const std::size_t least = level_ == 0 ? 1 : 2;
  for (const Entry& entry : entries_) {
    // Even pieces may be over the target by one entry; full ones stay below the limit.
    const bool full =
        !out.empty() && (appended_ ? out.back().size_bytes() + out.back().cost_bytes(entry) > target
                                   : out.back().size_bytes() >= target);
    if (out.empty() || (full && out.back().count() >= least)) {
      out.emplace_back(level_);
      out.back().holders_ = holders_;
    }
    out.back().push(entry);
  }
  return out;
}

Bytes NodeDraft::encode() const {
  NodeEncoder encoder(level_);
  for (const Entry& entry : entries_) {
    if (level_ == 0) {
      encoder.add(entry.key, entry.value);
    } else {
      encoder.add(entry.key, entry.child);
    }
  }
  return encoder.finish();
}

}  // namespace varve
