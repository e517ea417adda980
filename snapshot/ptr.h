// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "store/base/bytes.h"
#include "store/digest.h"

namespace varve {

/// Numbers the commits of a family of related heads and snapshots.
using Txg = std::uint64_t;

/// A pointer to an object with its birth. Two pointers are the same birth event when digest and
/// birth are equal.
struct Ptr {
  Digest digest;
  std::uint32_t stored_bytes = 0;
  std::uint32_t data_bytes = 0;
  Txg birth = 0;

  friend bool operator==(const Ptr& a, const Ptr& b) {
    return a.birth == b.birth && a.digest == b.digest;
  }
  /// digest[32] | stored_bytes varint | data_bytes varint | birth varint | flags u8 (0)
  void encode(ByteWriter& out) const;
  static Ptr decode(ByteReader& in);
};

}  // namespace varve
