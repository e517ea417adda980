// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "store/index.h"
#include "store/local_objects.h"
#include "store/segment_set.h"

namespace varve {

/// One round of giving space back to the host:
///
///   1. purge: the index forgets objects that died before the horizon
///   2. checkpoint: that survives a power cut
///   3. unlink segments without any record that the index knows
///   4. compact: copy what sparse segments still hold, sync the copies, tell the index, checkpoint
///   5. unlink the segments that compaction emptied
///
/// A crash after any step leaves an index whose rows all point to records, and at worst files that
/// the next round unlinks. Used by one thread at a time.
class Reclaim {
 public:
  Reclaim(Index& index, SegmentSet& segments, const LocalObjects::ReclaimLimits& limits,
          std::set<SegmentId>& unmovable)
      : index_(index), segments_(segments), limits_(limits), unmovable_(unmovable) {}

  /// Returns the bytes given back. Throws StoreError.
  std::uint64_t run(Csn horizon);

 private:
  std::vector<SegmentId> empty_segments() const;
  std::uint64_t unlink_empty();
  /// Seals segments that are being written, large enough and sparse.
  void retire_sparse_writers();
  bool is_sparse(std::uint64_t live_bytes, std::uint64_t file_bytes) const;
  std::vector<SegmentId> sparse_segments() const;
  bool compact();
  bool compact_segment(SegmentId id, SegmentHolds& holds);
  bool copy_record(SegmentId id, const FooterEntry& entry, SegmentHolds& holds,
                   std::vector<Index::Move>& moves);
  /// The record at `location` if it can be read and is what it should be.
  std::optional<StoredRecord> intact(const Digest& digest, const Location& location,
                                     std::uint32_t stored_bytes) const;

  Index& index_;
  SegmentSet& segments_;
  const LocalObjects::ReclaimLimits limits_;
  std::set<SegmentId>& unmovable_;
  std::uint64_t copied_bytes_ = 0;
};

}  // namespace varve
