// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;
/// Immutable bytes that several holders share, such as a cached object.
using SharedBytes = std::shared_ptr<const Bytes>;

static_assert(std::endian::native == std::endian::little, "on-disk integers are little-endian");

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Appends little-endian fields to a buffer that the caller owns.
class ByteWriter {
 public:
  explicit ByteWriter(Bytes& out) : out_(out) {}

  void u8(std::uint8_t value) { out_.push_back(static_cast<std::byte>(value)); }
  void u16(std::uint16_t value) { fixed(value); }
  void u32(std::uint32_t value) { fixed(value); }
  void u64(std::uint64_t value) { fixed(value); }
  void i64(std::int64_t value) { fixed(static_cast<std::uint64_t>(value)); }
  /// LEB128, at most ten bytes.
  void varint(std::uint64_t value) {
    while (value >= 0x80) {
      u8(static_cast<std::uint8_t>(value | 0x80));
      value >>= 7;
    }
    u8(static_cast<std::uint8_t>(value));
  }
  void raw(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  /// A varint length, then the bytes.
  void sized(ByteView bytes) {
    varint(bytes.size());
    raw(bytes);
  }
  void sized(std::string_view text) { sized(as_bytes(text)); }
  std::size_t size() const { return out_.size(); }

 private:
  template <class T>
  void fixed(T value) {
    const std::size_t at = out_.size();
    out_.resize(at + sizeof value);
    std::memcpy(out_.data() + at, &value, sizeof value);
  }
  Bytes& out_;
};

/// Reads what ByteWriter wrote and trusts nothing: every overrun or malformed
/// varint throws CorruptionError("<subject>: truncated ...").
class ByteReader {
 public:
  /// `subject` names what is decoded, for the error text; must outlive the reader.
  ByteReader(ByteView bytes, const char* subject) : bytes_(bytes), subject_(subject) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(take(1)[0]); }
  std::uint16_t u16() { return fixed<std::uint16_t>(); }
  std::uint32_t u32() { return fixed<std::uint32_t>(); }
  std::uint64_t u64() { return fixed<std::uint64_t>(); }
  std::int64_t i64() { return static_cast<std::int64_t>(u64()); }
  std::uint64_t varint();
  ByteView raw(std::size_t size) { return take(size); }
  ByteView sized();
  std::string sized_text() { return std::string(as_text(sized())); }
  std::size_t remaining() const { return bytes_.size() - offset_; }
  std::size_t offset() const { return offset_; }
  bool done() const { return remaining() == 0; }
  /// Throws CorruptionError unless everything was read.
  void expect_done() const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  ByteView take(std::size_t size) {
    if (size > remaining()) fail("truncated");
    const ByteView out = bytes_.subspan(offset_, size);
    offset_ += size;
    return out;
  }
  template <class T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  ByteView bytes_;
  const char* subject_;
  std::size_t offset_ = 0;
};

/// Lower-case hexadecimal, two digits a byte.
std::string to_hex(ByteView bytes);

}  // namespace varve
