// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>

#include "store/base/bytes.h"
#include "store/base/error.h"

namespace varve::fuzz {

/// Runs `body`, which decodes. True if it came to its end; false if the bytes were refused as they
/// should be: damaged (CorruptionError), or of a newer format (UserError ENOTSUP).
inline bool accepted(const std::function<void()>& body) {
  try {
    body();
    return true;
  } catch (const CorruptionError&) {
    return false;
  } catch (const UserError& refused) {
    VARVE_CHECK(refused.code() == ENOTSUP);
    return false;
  }
}

/// Runs `body`, which takes a user's words. True if they were taken; what is refused has an errno
/// and a sentence.
inline bool taken(const std::function<void()>& body) {
  try {
    body();
    return true;
  } catch (const UserError& refused) {
    VARVE_CHECK(refused.code() > 0 && *refused.what() != '\0');
    return false;
  }
}

/// Takes an input apart: what is not there is zero.
class Input {
 public:
  explicit Input(ByteView bytes) : rest_(bytes) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  /// Up to `size` bytes.
  ByteView bytes(std::size_t size) {
    const ByteView out = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(out.size());
    return out;
  }
  ByteView rest() { return bytes(rest_.size()); }
  bool done() const { return rest_.empty(); }

 private:
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    const ByteView taken = bytes(size);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      value |= std::to_integer<std::uint64_t>(taken[i]) << (8 * i);
    }
    return value;
  }
  ByteView rest_;
};

inline Bytes to_bytes(ByteView view) { return Bytes(view.begin(), view.end()); }
inline Bytes to_bytes(std::string_view text) { return to_bytes(as_bytes(text)); }
/// `bytes` behind the byte that chooses among the decoders of one target.
inline Bytes chosen(unsigned choice, ByteView bytes) {
  Bytes out{static_cast<std::byte>(choice)};
  out.insert(out.end(), bytes.begin(), bytes.end());
  return out;
}

}  // namespace varve::fuzz
