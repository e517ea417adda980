// SPDX-License-Identifier: Apache-2.0
#include "store/reclaim.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/local_parts.h"

namespace varve {
namespace {

/// What compaction leaves to the index and to commits.
constexpr std::uint64_t kRoomBesideCopies = 4ull << 20;

}  // namespace

std::uint64_t LocalObjects::reclaim(const ReclaimLimits& limits) {
  Parts& parts = *parts_;
  const MutexLock lock(parts.reclaim_mutex);
  // Before the recount every object has zero references: all would be purged.
  if (parts.index->needs_references()) return 0;
  parts.note_segments();
  Reclaim round(*parts.index, *parts.segments, limits, parts.reclaim_memory);
  const std::uint64_t freed = round.run(parts.pins.horizon());
  parts.reclaim_rest.store(round.rest());
  parts.note_segments();
  return freed;
}

ReclaimRest LocalObjects::reclaim_rest() const { return parts_->reclaim_rest.load(); }

std::uint64_t Reclaim::run(Csn horizon) {
  index_.flush();  // the dead are found in the file
  const std::uint64_t purged = index_.purge(horizon, limits_.purged_objects);
  if (purged > 0) index_.flush();
  if (purged >= limits_.purged_objects) rest_ = ReclaimRest::kMore;
  retire_sparse_writers();
  std::uint64_t freed = unlink_empty();
  freed += punch_holes();
  try {
    freed += compact();
  } catch (const StoreError& error) {
    // No room for copies after all; what was copied is found dead later.
    if (error.code() != ENOSPC && error.code() != EDQUOT) throw;
    log_warn("reclaim", error.what());
    rest_ = ReclaimRest::kWantsRoom;
  }
  return freed;
}

std::vector<SegmentId> Reclaim::empty_segments() const {
  std::vector<SegmentId> out;
  // Files first: one that is listed unused is not written to any more, so its live bytes can only
  // fall.
  const std::vector<SegmentSet::Info> files = segments_.list();
  const std::map<SegmentId, std::uint64_t> live = index_.live_bytes();
  for (const SegmentSet::Info& file : files) {
    if (!file.in_use && !live.contains(file.id)) out.push_back(file.id);
  }
  return out;
}

std::uint64_t Reclaim::unlink_empty() {
  const std::vector<SegmentId> empty = empty_segments();
  if (empty.empty()) return 0;
  // The file on disk may still point into them; after a power cut it would again.
  index_.checkpoint();
  std::uint64_t freed = 0;
  for (const SegmentId id : empty) {
    if (holds_known_records(id)) continue;
    freed += segments_.remove(id);
    if (segments_.find(id)) continue;  // somebody took it up again; the next round tries
    index_.forget_segment(id);
    memory_.looked_for_holes.erase(id);
    memory_.unmovable.erase(id);
  }
  return freed;
}

void Reclaim::retire_sparse_writers() {
  const std::map<SegmentId, std::uint64_t> live = index_.live_bytes();
  for (const SegmentSet::Info& file : segments_.list()) {
    if (!file.in_use || file.bytes < limits_.retire_from_bytes) continue;
    const auto bytes = live.find(file.id);
    if (bytes == live.end() || is_sparse(bytes->second, file.bytes)) {
      segments_.retire_if_idle(file.id);
    }
  }
}

bool Reclaim::is_worth_a_look(const SegmentSet::Info& file, std::uint64_t live_bytes) const {
  if (file.in_use || !file.sealed || file.bytes < live_bytes + limits_.punch_from_bytes) {
    return false;
  }
  // Of a remnant all is copied, and the file goes.
  if (live_bytes < segments_.segment_bytes() / 8) return false;
  const auto looked = memory_.looked_for_holes.find(file.id);
  return looked == memory_.looked_for_holes.end() ||
         live_bytes + limits_.punch_from_bytes <= looked->second;
}

/// The records of a segment that the index still names, alive or dead.
std::vector<FooterEntry> Reclaim::known_records(SegmentId id) const {
  std::vector<FooterEntry> out;
  segments_.visit_records(id, [&](const FooterEntry& entry) {
    const std::optional<ObjectState> state = index_.find(entry.digest);
    const Location here{id, entry.offset};
    if (!state) return;
    if (state->placement.primary == here || state->placement.mirror == here) out.push_back(entry);
  });
  return out;
}

/// The index's totals have no checksum: what is removed is looked up once more.
bool Reclaim::holds_known_records(SegmentId id) {
  try {
    if (known_records(id).empty()) return false;
  } catch (const StoreError& error) {
    if (error.code() != EIO && error.code() != ENOENT) throw;
    return false;  // nothing in it can be read
  }
  index_.note_wrong(segment_file_name(id) + " holds objects, and the index's total of it is 0");
  return true;
}

std::uint64_t Reclaim::punch_holes() {
  std::uint64_t freed = 0;
  bool durable = false;
  const std::map<SegmentId, std::uint64_t> live = index_.live_bytes();
  for (const SegmentSet::Info& file : segments_.list()) {
    if (!segments_.can_punch()) break;
    const auto bytes = live.find(file.id);
    if (bytes == live.end() || !is_worth_a_look(file, bytes->second)) continue;
    memory_.looked_for_holes[file.id] = bytes->second;
    // What was purged must be gone from the file on disk too before its bytes are.
    if (!durable) index_.checkpoint();
    durable = true;
    std::vector<FooterEntry> keep;
    try {
      keep = known_records(file.id);
    } catch (const StoreError& error) {
      if (error.code() != EIO) throw;
      log_error("reclaim", error.what());
      continue;
    }
    freed += segments_.punch(file.id, keep, {limits_.punch_from_bytes, limits_.punch_run_bytes});
  }
  return freed;
}

bool Reclaim::is_sparse(std::uint64_t live_bytes, std::uint64_t file_bytes) const {
  return live_bytes * 100 < file_bytes * limits_.compact_below_live_percent;
}

std::vector<Reclaim::Sparse> Reclaim::sparse_segments() const {
  std::vector<Sparse> out;
  const std::vector<SegmentSet::Info> files = segments_.list();
  const std::map<SegmentId, std::uint64_t> live = index_.live_bytes();
  for (const SegmentSet::Info& file : files) {
    const auto bytes = live.find(file.id);
    if (file.in_use || bytes == live.end() || memory_.unmovable.contains(file.id)) continue;
    if (is_sparse(bytes->second, file.bytes)) out.push_back({file.id, bytes->second, file.bytes});
  }
  const auto ratio = [](const Sparse& segment) {
    return static_cast<double>(segment.live_bytes) / static_cast<double>(segment.file_bytes);
  };
  std::sort(out.begin(), out.end(),
            [&](const Sparse& a, const Sparse& b) { return ratio(a) < ratio(b); });
  return out;
}

std::uint64_t Reclaim::compact() {
  std::uint64_t freed = 0;
  for (const Sparse& segment : sparse_segments()) {
    if (copied_bytes_ >= limits_.copied_bytes) {
      rest_ = ReclaimRest::kMore;
      break;
    }
    // A copy that stops half way would take what the host has left, for nothing.
    if (segments_.free_bytes() < segment.live_bytes + kRoomBesideCopies) {
      rest_ = ReclaimRest::kWantsRoom;
      continue;
    }
    try {
      if (!compact_segment(segment.id)) memory_.unmovable.insert(segment.id);
      freed += unlink_empty();
    } catch (const CorruptionError& error) {
      log_error("reclaim", error.what());
      memory_.unmovable.insert(segment.id);
    }
  }
  return freed;
}

bool Reclaim::compact_segment(SegmentId id) {
  SegmentHolds holds;
  std::vector<Index::Move> moves;
  bool complete = true;
  segments_.visit_records(id, [&](const FooterEntry& entry) {
    complete = copy_record(id, entry, holds, moves) && complete;
  });
  // Durable before the index can say so.
  segments_.sync(holds);
  index_.relocate(moves);
  return complete;
}

bool Reclaim::copy_record(SegmentId id, const FooterEntry& entry, SegmentHolds& holds,
                          std::vector<Index::Move>& moves) {
  const Location here{id, entry.offset};
  const std::optional<ObjectState> state = index_.find(entry.digest);
  if (!state) return true;
  const Placement& placement = state->placement;
  const bool first = placement.primary == here;
  if (!first && placement.mirror != here) return true;
  const Location& other = first ? placement.mirror : placement.primary;
  std::optional<StoredRecord> record = intact(entry.digest, here, placement.stored_bytes);
  if (!record && other.present()) record = intact(entry.digest, other, placement.stored_bytes);
  if (!record) {
    index_.note_damaged(entry.digest);
    return false;
  }
  const SegmentStream stream = entry.mirror ? SegmentStream::kMirror : SegmentStream::kMoved;
  copied_bytes_ += record->bytes.size();
  moves.push_back(Index::Move{entry.digest, here, segments_.append(stream, *record, holds)});
  return true;
}

std::optional<StoredRecord> Reclaim::intact(const Digest& digest, const Location& location,
                                            std::uint32_t stored_bytes) const {
  try {
    return segments_.read_record(digest, location, stored_bytes);
  } catch (const StoreError& error) {
    // Damaged, unreadable, or in a file that is gone; anything else is no word about the record.
    if (error.code() != EIO && error.code() != ENOENT) throw;
    log_error("reclaim", error.what());
    return std::nullopt;
  }
}

}  // namespace varve
