// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "store/objects.h"

namespace varve {

/// Names one store directory for ever; drawn at random when it is created.
using StoreId = std::array<std::byte, 16>;
/// Numbers the segment files of a store, from 1; never used twice.
using SegmentId = std::uint64_t;

/// Where a record begins: a byte offset in a segment file. Segment 0 is nowhere.
struct Location {
  SegmentId segment = 0;
  std::uint64_t offset = 0;

  bool present() const { return segment != 0; }
  friend bool operator==(const Location&, const Location&) = default;
  friend auto operator<=>(const Location&, const Location&) = default;
};

/// A record in the segments: its places and its size. Both copies have the same size.
struct Placement {
  Location primary;
  Location mirror;                 ///< the second copy of metadata; absent for data
  std::uint32_t stored_bytes = 0;  ///< of one record: header, payload and padding
  std::uint32_t data_bytes = 0;    ///< of the content
  ObjectKind kind = ObjectKind::kData;

  friend bool operator==(const Placement&, const Placement&) = default;
};

}  // namespace varve
