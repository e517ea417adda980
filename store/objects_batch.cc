// SPDX-License-Identifier: Apache-2.0
#include "store/objects_batch.h"

#include <algorithm>
#include <unordered_map>

#include "store/base/error.h"
#include "store/base/mutex.h"
#include "store/index.h"
#include "store/local_objects.h"
#include "store/local_parts.h"
#include "store/segment_set.h"
#include "store/stored_record.h"

namespace varve {

namespace {

/// What a batch knows of one object.
struct Slot {
  std::uint64_t births = 0;
  std::uint64_t releases = 0;
  std::uint32_t holds = 0;  ///< taken in the index, given back when the batch ends
  bool known = false;       ///< placement is set
  bool written = false;     ///< by this batch, so the commit has to say where
  bool heals = false;
  Placement placement;
};

/// For contents that are written once and kept: some 15 % smaller, and ten times the work.
constexpr int kThoroughLevel = 9;

int level_of(const StoreOptions& options, Effort effort) {
  if (effort == Effort::kUsual || options.compression_level == 0) return options.compression_level;
  return std::max(options.compression_level, kThoroughLevel);
}

ObjectsBatch::Stored stored_of(const Digest& digest, const Placement& placement) {
  return ObjectsBatch::Stored{digest, placement.stored_bytes, placement.data_bytes};
}

}  // namespace

struct LocalBatch::State {
  SegmentHolds holds;
  mutable Mutex mutex;
  std::unordered_map<Digest, Slot> slots GUARDED_BY(mutex);
  bool taken GUARDED_BY(mutex) = false;
};

LocalBatch::LocalBatch(LocalObjects& objects)
    : objects_(objects), state_(std::make_unique<State>()) {}

LocalBatch::~LocalBatch() {
  const MutexLock lock(state_->mutex);
  for (const auto& [digest, slot] : state_->slots) {
    for (std::uint32_t i = 0; i < slot.holds; ++i) objects_.parts_->index->release_hold(digest);
  }
}

ObjectsBatch::Stored LocalBatch::put(ByteView content, ObjectKind kind, Effort effort) {
  const Digest digest = digest_of(content);
  if (const std::optional<Stored> stored = count_birth(digest)) return *stored;
  const std::optional<Index::Held> held = objects_.parts_->index->find_and_hold(digest);
  if (!held) return write(digest, content, {kind, effort, false});
  {
    const MutexLock lock(state_->mutex);
    ++state_->slots[digest].holds;
  }
  const std::optional<Placement> target = objects_.parts_->deduplicable(digest, *held, kind);
  if (!target) return write(digest, content, {kind, effort, true});
  {
    const MutexLock lock(state_->mutex);
    Slot& slot = state_->slots[digest];
    if (!slot.known) {
      slot.placement = *target;
      slot.known = true;
    }
  }
  return count_birth(digest).value();
}

std::optional<ObjectsBatch::Stored> LocalBatch::count_birth(const Digest& digest) {
  const MutexLock lock(state_->mutex);
  const auto found = state_->slots.find(digest);
  if (found == state_->slots.end() || !found->second.known) return std::nullopt;
  ++found->second.births;
  return stored_of(digest, found->second.placement);
}

ObjectsBatch::Stored LocalBatch::write(const Digest& digest, ByteView content, const Writing& how) {
  LocalObjects::Parts& parts = *objects_.parts_;
  StoredRecord record = make_record(digest, content, how.kind, level_of(parts.options, how.effort));
  Placement placement;
  placement.stored_bytes = static_cast<std::uint32_t>(record.bytes.size());
  placement.data_bytes = static_cast<std::uint32_t>(content.size());
  placement.kind = how.kind;
  placement.primary = parts.segments->append(SegmentStream::kPrimary, record, state_->holds);
  if (how.kind == ObjectKind::kMetadata) {
    placement.mirror = parts.segments->append(SegmentStream::kMirror, record, state_->holds);
    // Nodes that were just written are read next; bulk data is not.
    parts.remember(digest, std::make_shared<const Bytes>(content.begin(), content.end()));
  }
  parts.sound.note(digest, SoundObjects::Found::kByDigest);
  const MutexLock lock(state_->mutex);
  Slot& slot = state_->slots[digest];
  ++slot.births;
  // Another thread may have put the same content meanwhile; one place wins, the other is unused.
  if (!slot.known) {
    slot.known = true;
    slot.written = true;
    slot.heals = how.heals;
    slot.placement = placement;
  }
  return stored_of(digest, slot.placement);
}

ObjectsBatch::Stored LocalBatch::retain(const Digest& digest) {
  if (const std::optional<Stored> stored = count_birth(digest)) return *stored;
  const std::optional<Index::Held> held = objects_.parts_->index->find_and_hold(digest);
  if (!held) throw CorruptionError("object " + digest.hex() + " is not in the store");
  const MutexLock lock(state_->mutex);
  Slot& slot = state_->slots[digest];
  ++slot.holds;
  ++slot.births;
  // A damaged object keeps its references, but a put in this batch must still heal it.
  if (!held->damaged && !slot.known) {
    slot.known = true;
    slot.placement = held->state.placement;
  }
  return stored_of(digest, slot.known ? slot.placement : held->state.placement);
}

void LocalBatch::release(const Digest& digest) {
  const MutexLock lock(state_->mutex);
  ++state_->slots[digest].releases;
}

SharedBytes LocalBatch::read(const Digest& digest, Wait wait) {
  LocalObjects::Parts& parts = *objects_.parts_;
  if (SharedBytes content = parts.cache.find(digest)) return content;
  if (wait == Wait::kRefused) throw WouldBlock{digest};
  std::optional<Placement> own;
  {
    const MutexLock lock(state_->mutex);
    const auto found = state_->slots.find(digest);
    if (found != state_->slots.end() && found->second.written) own = found->second.placement;
  }
  if (!own) return parts.load(digest);
  SharedBytes content = parts.load_from(digest, *own, LocalObjects::Parts::Whose::kBatch);
  parts.remember(digest, content);
  return content;
}

CommitDelta LocalBatch::take_delta(Csn csn) {
  CommitDelta delta;
  delta.csn = csn;
  {
    const MutexLock lock(state_->mutex);
    VARVE_CHECK(!state_->taken);
    state_->taken = true;
    for (const auto& [digest, slot] : state_->slots) {
      if (slot.births > 0) {
        CommitDelta::Birth birth{digest, {}, slot.births, slot.written && slot.heals};
        if (slot.written) birth.placement = slot.placement;
        delta.births.push_back(birth);
      }
      if (slot.releases > 0) delta.releases.push_back({digest, slot.releases});
    }
  }
  const auto by_digest = [](const auto& a, const auto& b) { return a.digest < b.digest; };
  std::sort(delta.births.begin(), delta.births.end(), by_digest);
  std::sort(delta.releases.begin(), delta.releases.end(), by_digest);
  objects_.parts_->index->validate(delta);
  return delta;
}

void LocalBatch::sync_segments() { objects_.parts_->segments->sync(state_->holds); }

bool LocalBatch::empty() const {
  const MutexLock lock(state_->mutex);
  return std::all_of(state_->slots.begin(), state_->slots.end(), [](const auto& entry) {
    return entry.second.births == 0 && entry.second.releases == 0;
  });
}

}  // namespace varve
