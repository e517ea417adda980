// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstring>
#include <functional>
#include <string>

#include "store/base/bytes.h"

namespace varve {

/// The name of an object: the SHA-256 (FIPS 180-4) of its uncompressed content.
struct Digest {
  std::array<std::byte, 32> bytes{};

  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest& a, const Digest& b) {
    return std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) <=> 0;
  }
  std::string hex() const { return to_hex(bytes); }
};

/// SHA-256 of `content`. Thread-safe; one EVP context a thread.
Digest digest_of(ByteView content);

}  // namespace varve

template <>
struct std::hash<varve::Digest> {
  std::size_t operator()(const varve::Digest& digest) const noexcept {
    std::size_t value;
    std::memcpy(&value, digest.bytes.data(), sizeof value);  // SHA-256 is uniform already
    return value;
  }
};
