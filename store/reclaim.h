// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "store/index.h"
#include "store/local_objects.h"
#include "store/segment_set.h"

namespace varve {

/// What rounds of reclaim tell the next ones; lost with the process.
struct ReclaimMemory {
  /// Segments with records that cannot be moved because they are damaged.
  std::set<SegmentId> unmovable;
  /// Live bytes of segments when holes were last looked for in them.
  std::map<SegmentId, std::uint64_t> looked_for_holes;
};

/// One round of giving space back to the host:
///
///   1. purge: the index forgets objects that died before the horizon
///   2. checkpoint: that survives a power cut
///   3. unlink segments without any record that the index knows
///   4. punch holes: a durable footer that leaves the dead out, then holes for long dead runs
///   5. compact: copy what a sparse segment still holds, sync the copies, tell the index,
///   checkpoint
///   6. unlink the segment that this emptied, before the next one is copied: a nearly full host has
///      no room for the copies of all
///
/// A crash after any step leaves an index whose rows all point to records, and at worst files that
/// the next round unlinks. Used by one thread at a time.
class Reclaim {
 public:
  Reclaim(Index& index, SegmentSet& segments, const LocalObjects::ReclaimLimits& limits,
          ReclaimMemory& memory)
      : index_(index), segments_(segments), limits_(limits), memory_(memory) {}

  /// Returns the bytes given back. Throws StoreError.
  std::uint64_t run(Csn horizon);
  /// What run() left.
  ReclaimRest rest() const { return rest_; }

 private:
  std::vector<SegmentId> empty_segments() const;
  std::uint64_t unlink_empty();
  /// Seals segments that are being written, large enough and sparse.
  void retire_sparse_writers();
  bool is_sparse(std::uint64_t live_bytes, std::uint64_t file_bytes) const;
  struct Sparse {
    SegmentId id;
    std::uint64_t live_bytes = 0;
    std::uint64_t file_bytes = 0;
  };
  /// The sparsest first.
  std::vector<Sparse> sparse_segments() const;
  bool holds_known_records(SegmentId id);
  std::uint64_t punch_holes();
  bool is_worth_a_look(const SegmentSet::Info& file, std::uint64_t live_bytes) const;
  std::vector<FooterEntry> known_records(SegmentId id) const;
  std::uint64_t compact();
  /// False if the segment keeps a record.
  bool compact_segment(SegmentId id);
  bool copy_record(SegmentId id, const FooterEntry& entry, SegmentHolds& holds,
                   std::vector<Index::Move>& moves);
  /// The record at `location` if it can be read and is what it should be.
  std::optional<StoredRecord> intact(const Digest& digest, const Location& location,
                                     std::uint32_t stored_bytes) const;

  Index& index_;
  SegmentSet& segments_;
  const LocalObjects::ReclaimLimits limits_;
  ReclaimMemory& memory_;
  std::uint64_t copied_bytes_ = 0;
  ReclaimRest rest_ = ReclaimRest::kNothing;
};

}  // namespace varve
