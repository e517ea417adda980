// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cerrno>
#include <memory>
#include <set>
#include <string>

#include "store/base/error.h"
#include "store/base/lru_cache.h"
#include "store/base/mutex.h"
#include "store/index.h"
#include "store/local_objects.h"
#include "store/raw_parts.h"
#include "store/reclaim.h"
#include "store/segment_set.h"
#include "store/sound_objects.h"

namespace varve {

/// Contents by digest, verified when they were put in.
using ObjectCache = LruCache<Digest, Bytes>;

/// Whether a failed read says that bytes are damaged or gone, and not that memory or files ran out.
inline bool speaks_of_bytes(const StoreError& error) {
  return error.code() == EIO || error.code() == ENOENT;
}

/// What LocalObjects is made of, for its own source files and LocalBatch. `index` and `segments`
/// are replaced only by a rebuild, which nothing runs beside.
struct LocalObjects::Parts {
  Parts(Disk& host_disk, Paths where, const StoreId& id, const StoreOptions& chosen)
      : disk(host_disk),
        paths(std::move(where)),
        store(id),
        options(chosen),
        cache(chosen.object_cache_bytes - raw_share(chosen)),
        raw_parts(raw_share(chosen)) {}

  static std::size_t raw_share(const StoreOptions& options) {
    return options.object_cache_bytes / 8;
  }

  /// Opens index and segments; rebuilds the index if it must be.
  void open();
  void rebuild(const std::string& reason);

  /// Reads `digest` from the segments into the cache. Throws CorruptionError that names it.
  SharedBytes load(const Digest& digest);
  /// Copies a part of an object that is stored uncompressed to `out`, as Objects::read_part. Empty
  /// if it is compressed, or if something is wrong with it, which is left to load().
  std::optional<std::size_t> read_raw_part(const Digest& digest, std::uint32_t offset,
                                           std::span<std::byte> out);
  /// Whose record load_from is to read: one that the index names, which compaction may move, or
  /// one of a batch that holds its segments.
  enum class Whose : std::uint8_t { kAnyone, kBatch };
  /// Reads a record whose place is known, from the second copy if the first is damaged or gone and
  /// has not just moved.
  SharedBytes load_from(const Digest& digest, const Placement& placement, Whose whose);
  /// True if the index says so at this moment.
  bool is_at(const Digest& digest, const Placement& placement);
  /// Where a held object lies, if a put of its content may count on it: its first copy is read back
  /// and whole. Empty if a fresh copy must take its place; what is damaged is remembered.
  std::optional<Placement> deduplicable(const Digest& digest, const Index::Held& held,
                                        ObjectKind kind);
  void remember(const Digest& digest, const SharedBytes& content);
  /// True if the first copy's record has the right checksums. What is wrong otherwise is left to
  /// load().
  bool has_sound_record(const Digest& digest);

  /// Tells the index which segments were sealed.
  void note_segments();

  Disk& disk;
  const Paths paths;
  const StoreId store;
  const StoreOptions options;
  ReadPins pins;
  std::unique_ptr<Index> index;  // after the pins, which it asks
  std::unique_ptr<SegmentSet> segments;
  ObjectCache cache;
  RawParts raw_parts;
  SoundObjects sound;
  std::atomic<std::uint64_t> object_reads{0};

  /// One reclaim at a time; taken before every lock of index and segments.
  Mutex reclaim_mutex;
  ReclaimMemory reclaim_memory GUARDED_BY(reclaim_mutex);
  std::atomic<ReclaimRest> reclaim_rest{ReclaimRest::kNothing};  ///< of the last one
};

}  // namespace varve
