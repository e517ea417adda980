// SPDX-License-Identifier: Apache-2.0
// Looking for damage among the objects of a store, and for what can replace damaged ones.
#include <cerrno>
#include <unordered_map>

#include "store/base/log.h"
#include "store/index_compare.h"
#include "store/local_objects.h"
#include "store/local_parts.h"

namespace varve {

std::optional<Placement> LocalObjects::Parts::deduplicable(const Digest& digest,
                                                           const Index::Held& held,
                                                           ObjectKind kind) {
  if (held.damaged) return std::nullopt;
  Placement placement = held.state.placement;
  for (;;) {
    // A file may hold the bytes of a node: the node still gets its second copy.
    if (kind == ObjectKind::kMetadata && !placement.mirror.present()) return std::nullopt;
    try {
      segments->check(digest, placement.primary, placement.stored_bytes);
      return placement;
    } catch (const StoreError& error) {
      if (!speaks_of_bytes(error)) throw;
      const std::optional<ObjectState> now = index->find(digest);
      if (now && !now->lost() && now->placement != placement) {
        placement = now->placement;  // it was moved meanwhile
        continue;
      }
      log_warn("object", std::string("not deduplicated: ") + error.what());
      index->note_damaged(digest);
      return std::nullopt;
    }
  }
}

std::vector<LiveObject> LocalObjects::live_after(const std::optional<Digest>& after,
                                                 std::size_t limit) {
  return parts_->index->live_after(after, limit);
}

std::optional<LiveObject> LocalObjects::live(const Digest& digest) {
  const std::optional<ObjectState> state = parts_->index->find(digest);
  if (!state || state->refs == 0) return std::nullopt;
  return LiveObject{digest, state->refs, state->placement};
}

ObjectHealth LocalObjects::check(const Digest& digest) {
  Parts& parts = *parts_;
  for (;;) {
    const std::optional<ObjectState> state = parts.index->find(digest);
    if (!state || state->refs == 0) return ObjectHealth::kGone;
    int sound = 0;
    int damaged = state->lost() ? 1 : 0;
    std::string why;
    for (const Location& copy : {state->placement.primary, state->placement.mirror}) {
      if (!copy.present()) continue;
      try {
        parts.object_reads.fetch_add(1, std::memory_order_relaxed);
        parts.segments->read(digest, copy, state->placement.stored_bytes);
        ++sound;
      } catch (const StoreError& error) {
        if (!speaks_of_bytes(error)) throw;
        ++damaged;
        why = error.what();
      }
    }
    if (damaged == 0) return ObjectHealth::kSound;
    if (!parts.is_at(digest, state->placement)) continue;  // it was moved meanwhile
    if (!why.empty()) log_error("object", why);
    parts.index->note_damaged(digest);
    return sound > 0 ? ObjectHealth::kWeak : ObjectHealth::kBad;
  }
}

std::vector<Digest> LocalObjects::damaged() const { return parts_->index->damaged(); }

namespace {

/// Records by the digests that are looked for, wherever in the segments they lie.
using Places = std::unordered_map<Digest, std::vector<Placement>>;

void find_records(const SegmentSet& segments, Places& wanted) {
  for (const SegmentSet::Info& info : segments.list()) {
    try {
      segments.visit_records(info.id, [&](const FooterEntry& entry) {
        const auto found = wanted.find(entry.digest);
        if (found == wanted.end()) return;
        Placement place;
        place.primary = Location{info.id, entry.offset};
        place.stored_bytes = static_cast<std::uint32_t>(record_bytes(entry.payload_bytes));
        place.kind = entry.kind;
        found->second.push_back(place);
      });
    } catch (const StoreError& error) {
      if (!speaks_of_bytes(error)) throw;
    }
  }
}

/// The first record of `places` that can be read.
std::optional<RescuedObject> first_readable(const SegmentSet& segments, const Digest& digest,
                                            const std::vector<Placement>& places) {
  for (const Placement& place : places) {
    try {
      return RescuedObject{digest, place.kind,
                           segments.read(digest, place.primary, place.stored_bytes)};
    } catch (const StoreError& error) {
      if (!speaks_of_bytes(error)) throw;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<RescuedObject> LocalObjects::rescue(const std::vector<Digest>& digests) {
  Parts& parts = *parts_;
  std::vector<RescuedObject> out;
  Places missing;
  std::unordered_map<Digest, ObjectKind> kinds;
  for (const Digest& digest : digests) {
    const std::optional<ObjectState> state = parts.index->find(digest);
    if (!state) continue;
    kinds[digest] = state->placement.kind;
    std::vector<Placement> copies;
    for (const Location& copy : {state->placement.primary, state->placement.mirror}) {
      if (!copy.present()) continue;
      Placement place = state->placement;
      place.primary = copy;
      copies.push_back(place);
    }
    std::optional<RescuedObject> found = first_readable(*parts.segments, digest, copies);
    if (!found) {
      const SharedBytes cached = parts.cache.peek(digest);
      if (cached && digest_of(*cached) == digest) {
        found = RescuedObject{digest, state->placement.kind, *cached};
      }
    }
    if (found) {
      out.push_back(*std::move(found));
    } else {
      missing.emplace(digest, std::vector<Placement>());
    }
  }
  if (missing.empty()) return out;
  find_records(*parts.segments, missing);
  for (const auto& [digest, places] : missing) {
    if (std::optional<RescuedObject> found = first_readable(*parts.segments, digest, places)) {
      out.push_back(*std::move(found));
    }
  }
  return out;
}

std::vector<FileFinding> LocalObjects::check_segments() {
  Parts& parts = *parts_;
  // Reclaim rewrites footers and removes files.
  const MutexLock lock(parts.reclaim_mutex);
  std::vector<FileFinding> out;
  for (const SegmentSet::Info& info : parts.segments->list()) {
    if (info.in_use) continue;
    const std::string what = parts.segments->defect(info.id);
    if (what.empty()) continue;
    FileFinding finding{FileFinding::Part::kSegment, segment_file_name(info.id) + ": " + what,
                        false};
    try {
      finding.mended = parts.segments->mend(info.id);
    } catch (const StoreError& error) {
      finding.what += std::string("; ") + error.what();
    }
    log_error("segment", finding.what + (finding.mended ? "; written anew" : ""));
    out.push_back(std::move(finding));
  }
  parts.note_segments();
  return out;
}

std::uint64_t LocalObjects::compare_index(const std::function<void(const std::string&)>& problem) {
  const MutexLock lock(parts_->reclaim_mutex);
  return IndexCompare(*parts_->index, *parts_->segments, problem).run();
}

std::vector<FileFinding> LocalObjects::check_index() {
  std::vector<FileFinding> out;
  for (const std::string& what : parts_->index->check_file()) {
    out.push_back({FileFinding::Part::kIndex, parts_->paths.index + ": " + what, false});
  }
  return out;
}

}  // namespace varve
