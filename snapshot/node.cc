// SPDX-License-Identifier: Apache-2.0
#include "snapshot/node.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::uint32_t kMagic = 0x444f4e56;  // "VNOD"
constexpr std::uint8_t kVersion = 1;
/// Shortest entry: shared length, one byte of key, one byte of content.
constexpr std::size_t kMinEntryBytes = 3;

std::size_t varint_bytes(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace

std::shared_ptr<const Node> Node::decode(SharedBytes bytes) {
  ByteReader in(*bytes, "tree node");
  if (in.u32() != kMagic) in.fail("wrong magic");
  if (in.u8() != kVersion) in.fail("unknown version");
  const std::uint8_t level = in.u8();
  if (level > kMaxLevel) in.fail("level " + std::to_string(level));
  if (in.u16() != 0) in.fail("unknown flags");
  const std::uint32_t count = in.u32();
  if (count == 0) in.fail("no entries");
  if (count > in.remaining() / kMinEntryBytes) in.fail("more entries than bytes");

  std::shared_ptr<Node> node(new Node);
  node->bytes_ = std::move(bytes);
  node->level_ = level;
  node->decode_entries(count);
  return node;
}

void Node::decode_entries(std::uint32_t count) {
  ByteReader in(*bytes_, "tree node");
  in.raw(NodeEncoder::kHeaderBytes);
  keys_.reserve(count);
  is_leaf() ? values_.reserve(count) : children_.reserve(count);
  std::array<std::byte, Key::kEncodedBytes> key{};
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t shared = in.u8();
    if (shared >= key.size() || (i == 0 && shared != 0)) in.fail("shared part of a key");
    const ByteView rest = in.raw(key.size() - shared);
    std::copy(rest.begin(), rest.end(), key.begin() + static_cast<std::ptrdiff_t>(shared));
    const Key decoded = Key::decode(key);
    if (i > 0 && decoded <= keys_.back()) in.fail("keys out of order");
    keys_.push_back(decoded);
    if (is_leaf()) {
      const ByteView value = in.sized();
      if (value.size() > kMaxValueBytes) in.fail("a value longer than any record");
      const std::size_t offset = in.offset() - value.size();
      values_.push_back(
          {static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(value.size())});
    } else {
      children_.push_back(Ptr::decode(in));
    }
  }
  in.expect_done();
}

std::size_t Node::lower_bound(const Key& key) const {
  return static_cast<std::size_t>(std::lower_bound(keys_.begin(), keys_.end(), key) -
                                  keys_.begin());
}

std::optional<std::size_t> Node::find(const Key& key) const {
  const std::size_t index = lower_bound(key);
  if (index == count() || keys_[index] != key) return std::nullopt;
  return index;
}

std::size_t Node::child_index(const Key& key) const {
  const auto after = std::upper_bound(keys_.begin(), keys_.end(), key);
  return after == keys_.begin() ? 0 : static_cast<std::size_t>(after - keys_.begin()) - 1;
}

std::size_t Node::resident_bytes() const {
  return sizeof(Node) + bytes_->capacity() + keys_.capacity() * sizeof(Key) +
         values_.capacity() * sizeof(Range) + children_.capacity() * sizeof(Ptr);
}

void check_child(const Node& parent, std::size_t index, const Node& child) {
  if (child.level() + 1 != parent.level()) {
    throw CorruptionError("tree node: level " + std::to_string(child.level()) + " below level " +
                          std::to_string(parent.level()));
  }
  if (child.first_key() != parent.key(index) ||
      (index + 1 < parent.count() && child.last_key() >= parent.key(index + 1))) {
    throw CorruptionError("tree node: keys outside of the range that its parent says");
  }
}

NodeEncoder::NodeEncoder(unsigned level) : level_(level) {
  ByteWriter out(bytes_);
  out.u32(kMagic);
  out.u8(kVersion);
  out.u8(static_cast<std::uint8_t>(level));
  out.u16(0);
  out.u32(0);  // the count, see finish
}

void NodeEncoder::add_key(const Key& key) {
  const auto encoded = key.encode();
  std::size_t shared = 0;
  if (count_ > 0) {
    while (shared < encoded.size() && encoded[shared] == previous_[shared]) ++shared;
    VARVE_CHECK(shared < encoded.size() && previous_[shared] < encoded[shared]);
  }
  ByteWriter out(bytes_);
  out.u8(static_cast<std::uint8_t>(shared));
  out.raw(ByteView(encoded).subspan(shared));
  previous_ = encoded;
  ++count_;
}

void NodeEncoder::add(const Key& key, ByteView value) {
  VARVE_CHECK(level_ == 0);
  add_key(key);
  ByteWriter(bytes_).sized(value);
}

void NodeEncoder::add(const Key& key, const Ptr& child) {
  VARVE_CHECK(level_ > 0);
  add_key(key);
  ByteWriter out(bytes_);
  child.encode(out);
}

Bytes NodeEncoder::finish() {
  VARVE_CHECK(count_ > 0 && bytes_.size() <= kMaxObjectBytes);
  std::memcpy(bytes_.data() + 8, &count_, sizeof count_);
  return std::move(bytes_);
}

std::size_t NodeEncoder::value_bytes(ByteView value) {
  return varint_bytes(value.size()) + value.size();
}

std::size_t NodeEncoder::child_bytes(const Ptr& child) {
  return child.digest.bytes.size() + varint_bytes(child.stored_bytes) +
         varint_bytes(child.data_bytes) + varint_bytes(child.birth) + 1;
}

}  // namespace varve
