// SPDX-License-Identifier: Apache-2.0
#include "store/local_objects.h"

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/index_rebuild.h"
#include "store/local_parts.h"

namespace varve {

namespace {

/// Distinct objects that a recount collects before it writes them.
constexpr std::size_t kRecountObjects = 200'000;
/// What a cached object weighs besides its content.
constexpr std::size_t kCacheEntryBytes = 160;
/// How often a read looks again for an object that is being moved.
constexpr int kReadAttempts = 32;

}  // namespace

// --- opening ---

void LocalObjects::Parts::open() {
  try {
    index = std::make_unique<Index>(disk, paths.index, store, pins);
  } catch (const CorruptionError& error) {
    return rebuild(error.what());
  } catch (const StoreError& error) {
    if (error.code() == ENOENT) return rebuild(error.what());
    throw;
  }
  segments = std::make_unique<SegmentSet>(disk, paths.segments, store, options.segment_bytes,
                                          index->sealed_at_open(), index->last_segment_at_open());
}

void LocalObjects::Parts::rebuild(const std::string& reason) {
  log_warn("index", "rebuilding from the segments: " + reason);
  const SegmentId last_id = segments ? segments->last_id() : 0;
  index.reset();
  segments = std::make_unique<SegmentSet>(disk, paths.segments, store, options.segment_bytes,
                                          std::map<SegmentId, std::uint64_t>(), last_id);
  varve::rebuild_index(disk, *segments, paths.index, store);
  index = std::make_unique<Index>(disk, paths.index, store, pins);
}

void LocalObjects::create(Disk& disk, const Paths& paths, const StoreId& id) {
  disk.make_directory(paths.segments);
  IndexDatabase::create(disk, paths.index, id);
}

LocalObjects::LocalObjects(Disk& disk, Paths paths, const StoreId& id, const StoreOptions& options)
    : parts_(std::make_unique<Parts>(disk, std::move(paths), id, options)) {
  parts_->open();
}

LocalObjects::~LocalObjects() = default;

// --- recovery ---

Csn LocalObjects::applied_csn() const { return parts_->index->applied_csn(); }

void LocalObjects::rebuild_index(const std::string& reason) { parts_->rebuild(reason); }

bool LocalObjects::needs_references() const { return parts_->index->needs_references(); }

void LocalObjects::set_references(
    Csn csn, const std::function<void(const std::function<void(const Digest&)>&)>& count) {
  Index& index = *parts_->index;
  index.begin_references();
  std::unordered_map<Digest, std::uint64_t> births;
  const auto write = [&] {
    std::vector<std::pair<Digest, std::uint64_t>> sorted(births.begin(), births.end());
    births.clear();
    std::sort(sorted.begin(), sorted.end());
    index.add_references(sorted);
  };
  count([&](const Digest& digest) {
    ++births[digest];
    if (births.size() >= kRecountObjects) write();
  });
  write();
  index.finish_references(csn);
  parts_->pins.advance(csn);
}

void LocalObjects::finish_recovery(Csn csn) {
  Parts& parts = *parts_;
  const std::map<SegmentId, std::uint64_t> live = parts.index->live_bytes();
  for (const SegmentSet::Info& info : parts.segments->list()) {
    if (info.sealed || info.in_use) continue;
    try {
      if (!live.contains(info.id)) {
        parts.segments->remove(info.id);  // the batches that wrote to it were never committed
      } else {
        parts.segments->seal(info.id);
      }
    } catch (const Error& error) {
      // It is scanned when its records are asked for.
      log_warn("segment", std::string("left without a footer: ") + error.what());
    }
  }
  for (const auto& [id, bytes] : parts.index->sealed_at_open()) {
    if (parts.segments->find(id)) continue;
    if (live.contains(id)) {
      log_error("segment", segment_file_name(id) + " is missing; objects in it are damaged");
    } else {
      parts.index->forget_segment(id);
    }
  }
  parts.note_segments();
  parts.pins.advance(csn);
}

void LocalObjects::Parts::note_segments() {
  for (const auto& [id, bytes] : segments->take_newly_sealed()) index->note_sealed(id, bytes);
  index->note_last_segment(segments->last_id());
}

// --- commits ---

std::unique_ptr<LocalBatch> LocalObjects::begin() { return std::make_unique<LocalBatch>(*this); }

void LocalObjects::apply(const CommitDelta& delta) {
  parts_->note_segments();
  parts_->index->apply(delta);
  parts_->pins.advance(delta.csn);
}

Csn LocalObjects::checkpointed_csn() const { return parts_->index->checkpointed_csn(); }

void LocalObjects::checkpoint() {
  parts_->note_segments();
  parts_->index->checkpoint();
}

// --- reading ---

SharedBytes LocalObjects::read(const Digest& digest, Wait wait) {
  if (SharedBytes content = parts_->cache.find(digest)) return content;
  if (wait == Wait::kRefused) throw WouldBlock{digest};
  return parts_->load(digest);
}

std::size_t LocalObjects::read_part(const Digest& digest, std::uint32_t offset,
                                    std::span<std::byte> out) {
  if (const SharedBytes content = parts_->cache.find(digest)) {
    return copy_part(*content, offset, out);
  }
  if (const auto size = parts_->read_raw_part(digest, offset, out)) return *size;
  return copy_part(*parts_->load(digest), offset, out);
}

std::optional<std::size_t> LocalObjects::Parts::read_raw_part(const Digest& digest,
                                                              std::uint32_t offset,
                                                              std::span<std::byte> out) {
  try {
    if (const auto size = raw_parts.read(*segments, digest, offset, out)) return size;
  } catch (const StoreError& error) {
    if (!speaks_of_bytes(error)) throw;
    raw_parts.forget(digest);
  }
  const std::optional<ObjectState> state = index->find(digest);
  if (!state || state->lost()) return std::nullopt;
  const Placement& placement = state->placement;
  if (placement.stored_bytes != record_bytes(placement.data_bytes)) return std::nullopt;
  try {
    const Trust trust = sound.digested(digest) ? Trust::kDigested : Trust::kNothing;
    const std::optional<ByteView> content =
        segments->read_uncompressed(digest, placement.primary, placement.stored_bytes, trust);
    if (!content) return std::nullopt;
    object_reads.fetch_add(1, std::memory_order_relaxed);
    sound.note(digest, SoundObjects::Found::kByDigest);
    // Whoever reads all of it seldom comes back; who reads a part may want the next one.
    if (out.size() < content->size()) raw_parts.note(digest, placement.primary, *content);
    return copy_part(*content, offset, out);
  } catch (const StoreError& error) {
    if (!speaks_of_bytes(error)) throw;
    return std::nullopt;
  }
}

void LocalObjects::probe(const Digest& digest, Wait wait) {
  if (parts_->sound.noted_lately(digest) || parts_->cache.find(digest)) return;
  if (wait == Wait::kRefused) throw WouldBlock{digest, true};
  if (!parts_->has_sound_record(digest)) parts_->load(digest);  // the other copy, or what is wrong
}

std::optional<Placement> LocalObjects::find(const Digest& digest) {
  const std::optional<ObjectState> state = parts_->index->find(digest);
  if (!state || state->lost()) return std::nullopt;
  return state->placement;
}

ReadPins& LocalObjects::pins() { return parts_->pins; }

bool LocalObjects::Parts::has_sound_record(const Digest& digest) {
  const std::optional<ObjectState> state = index->find(digest);
  if (!state || state->lost()) return false;
  try {
    segments->check(digest, state->placement.primary, state->placement.stored_bytes);
  } catch (const StoreError& error) {
    if (!speaks_of_bytes(error)) throw;
    return false;
  }
  object_reads.fetch_add(1, std::memory_order_relaxed);
  sound.note(digest, SoundObjects::Found::kByChecksum);
  return true;
}

void LocalObjects::Parts::remember(const Digest& digest, const SharedBytes& content) {
  cache.insert(digest, content, content->size() + kCacheEntryBytes);
}

bool LocalObjects::Parts::is_at(const Digest& digest, const Placement& placement) {
  const std::optional<ObjectState> now = index->find(digest);
  return now && now->placement == placement;
}

SharedBytes LocalObjects::Parts::load_from(const Digest& digest, const Placement& placement,
                                           Whose whose) {
  const Trust trust = sound.digested(digest) ? Trust::kDigested : Trust::kNothing;
  const auto read = [&](const Location& location) {
    object_reads.fetch_add(1, std::memory_order_relaxed);
    return std::make_shared<const Bytes>(
        segments->read(digest, location, placement.stored_bytes, trust));
  };
  if (!placement.mirror.present()) return read(placement.primary);
  try {
    return read(placement.primary);
  } catch (const StoreError& error) {
    if (!speaks_of_bytes(error)) throw;
    // Moved since the lookup: the caller looks again.
    if (whose == Whose::kAnyone && !is_at(digest, placement)) throw;
    const SharedBytes content = read(placement.mirror);
    log_warn("object", std::string("the second copy serves: ") + error.what());
    index->note_damaged(digest);
    return content;
  }
}

SharedBytes LocalObjects::Parts::load(const Digest& digest) {
  const std::string name = "object " + digest.hex();
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const std::optional<ObjectState> state = index->find(digest);
    if (!state) {
      index->note_wrong(name + " is referenced and not in the index");
      throw CorruptionError(name + " is not in the store");
    }
    if (state->lost()) throw CorruptionError(name + " is lost: no segment holds it");
    try {
      const SharedBytes content = load_from(digest, state->placement, Whose::kAnyone);
      remember(digest, content);
      sound.note(digest, SoundObjects::Found::kByDigest);
      return content;
    } catch (const StoreError& error) {
      if (!speaks_of_bytes(error)) throw;
      // A place is never used twice. If the object lies elsewhere now, or nowhere, what was read
      // was the file or the hole that it had left.
      if (!is_at(digest, state->placement)) continue;
      sound.forget(digest);
      raw_parts.forget(digest);
      index->note_damaged(digest);
      throw CorruptionError(name + " is damaged: " + error.what());
    }
  }
  throw StoreError(EAGAIN, name + " is moved again and again");
}

// --- figures and the end ---

LocalObjects::Figures LocalObjects::figures() const {
  const Index::Figures index = parts_->index->figures();
  Figures out;
  out.live_bytes = index.referenced_bytes;
  out.segment_bytes = parts_->segments->total_bytes();
  out.objects = index.objects;
  out.object_reads = parts_->object_reads.load(std::memory_order_relaxed);
  out.device_flushes = parts_->segments->flushes();
  out.cache_bytes = parts_->cache.resident_bytes();
  out.cache_hits = parts_->cache.hits();
  out.cache_misses = parts_->cache.misses();
  out.damaged_objects = index.damaged_objects;
  return out;
}

void LocalObjects::visit_references(
    const std::function<void(const Digest&, std::uint64_t)>& visit) {
  parts_->index->visit_references(visit);
}

void LocalObjects::close() {
  parts_->segments->close_streams();
  parts_->note_segments();
  parts_->index->close();
}

}  // namespace varve
