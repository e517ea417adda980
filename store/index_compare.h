// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/digest_range.h"
#include "store/index.h"
#include "store/segment_set.h"

namespace varve {

/// Compares every row of the index with the records that the segments' footers name, and the
/// index's totals with its rows. Memory is bounded: with many objects the footers are read several
/// times, each time for a range of digests. Nothing may change meanwhile. One thread.
class IndexCompare {
 public:
  using Problem = std::function<void(const std::string&)>;

  IndexCompare(Index& index, const SegmentSet& segments, const Problem& problem)
      : index_(index), segments_(segments), problem_(problem) {}

  /// Returns the objects compared. Throws StoreError.
  std::uint64_t run();

 private:
  struct Record {
    Location place;
    std::uint32_t stored_bytes = 0;
    std::uint32_t data_bytes = 0;
    ObjectKind kind = ObjectKind::kData;
    bool mirror = false;
  };
  using Records = std::unordered_map<Digest, std::vector<Record>>;

  void read_footers(const DigestRange& range, Records& out);
  void compare(const LiveObject& row, const Records& records);
  void compare_copy(const LiveObject& row, const Location& place, const Records& records);
  void compare_totals();

  Index& index_;
  const SegmentSet& segments_;
  const Problem& problem_;
  std::map<SegmentId, std::uint64_t> live_bytes_;
  std::uint64_t objects_ = 0;
  std::uint64_t referenced_bytes_ = 0;
};

}  // namespace varve
