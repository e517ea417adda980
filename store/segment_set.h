// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/base/disk.h"
#include "store/base/lru_cache.h"
#include "store/base/mutex.h"
#include "store/location.h"
#include "store/segment_writer.h"

namespace varve {

/// Where a record goes: data and first copies of metadata, second copies, or first copies that
/// compaction moves (apart, because they have shown to live long). A copy and its second are never
/// in one segment.
enum class SegmentStream : std::uint8_t { kPrimary = 0, kMirror = 1, kMoved = 2 };

/// The segments that one batch has written to. While it exists they are not removed. Safe to share
/// between threads; must end before its SegmentSet.
class SegmentHolds {
 public:
  void add(const std::shared_ptr<SegmentWriter>& writer);
  std::vector<std::shared_ptr<SegmentWriter>> writers() const;

 private:
  mutable Mutex mutex_;
  std::map<SegmentId, std::shared_ptr<SegmentWriter>> writers_ GUARDED_BY(mutex_);
};

/// All segment files of a store. A file that an earlier process left is never appended to again.
/// Safe to share between threads.
class SegmentSet {
 public:
  struct Info {
    SegmentId id = 0;
    std::uint64_t bytes = 0;  ///< that it takes, holes left out
    bool sealed = false;      ///< has a footer
    bool in_use = false;      ///< being written to, or held by a batch
  };

  /// Lists the files of `directory`. `known` says the size of sealed ones, which are then not
  /// opened; `id_floor` is the last id ever used, as far as the caller knows.
  SegmentSet(Disk& disk, std::string directory, const StoreId& store, std::uint64_t segment_bytes,
             const std::map<SegmentId, std::uint64_t>& known, SegmentId id_floor);

  // --- writing ---

  /// Appends `record` to `stream`; its segment is held by `holds` from then on. It is in the page
  /// cache on return. Throws StoreError; nothing but unused bytes is left then.
  Location append(SegmentStream stream, StoredRecord& record, SegmentHolds& holds);
  /// Makes everything durable that was written to the segments of `holds`, and their names. Throws
  /// StoreError; then every later append and sync throws EIO.
  void sync(const SegmentHolds& holds);
  /// Seals the segments being written and makes them durable; the next append begins new ones.
  void close_streams();
  /// Seals `id` if it is being written to and no batch holds it, so that it can be compacted.
  void retire_if_idle(SegmentId id);
  /// Writes the footer of a segment that a crash left without; true if it has one now. Throws
  /// CorruptionError if the file is no segment of this store.
  bool seal(SegmentId id);
  /// Segments sealed since the last call, with their sizes.
  std::map<SegmentId, std::uint64_t> take_newly_sealed();

  // --- reading ---

  /// The content of `digest` at `location`, verified. Throws CorruptionError that names it, or
  /// StoreError: ENOENT if there is no such segment (any more).
  Bytes read(const Digest& digest, const Location& location, std::uint32_t stored_bytes,
             Trust trust = Trust::kNothing) const;
  /// The same of a record whose payload is not compressed, in memory of the thread until its next
  /// call; empty if it is compressed.
  std::optional<ByteView> read_uncompressed(const Digest& digest, const Location& location,
                                            std::uint32_t stored_bytes, Trust trust) const;
  /// Reads the payload of the record at `location` from byte `offset` on, unverified. Returns how
  /// many bytes there were. Throws StoreError: ENOENT if there is no such segment.
  std::size_t read_payload(const Location& location, std::uint64_t offset,
                           std::span<std::byte> out) const;
  /// Checks header and payload checksum of the record, which costs a read and no decoding. Throws
  /// as read().
  void check(const Digest& digest, const Location& location, std::uint32_t stored_bytes) const;
  /// The same as a record that can be appended elsewhere, its content verified too.
  StoredRecord read_record(const Digest& digest, const Location& location,
                           std::uint32_t stored_bytes) const;
  /// Calls `visit` with each record, in order of offsets: from the footer, or by scanning for
  /// records whose checksums are right. Throws CorruptionError if the file holds nothing of this
  /// segment.
  void visit_records(SegmentId id, const std::function<void(const FooterEntry&)>& visit) const;

  // --- damage and space inside a file (segment_set_mend.cc) ---

  /// What is wrong with header or footer of a segment that nobody writes to; empty if nothing is.
  std::string defect(SegmentId id) const;
  /// Writes them anew from the records; durable on return. False if there is nothing to go by.
  /// Throws StoreError. Not beside itself, punch() or remove() of the same segment.
  bool mend(SegmentId id);
  struct PunchLimits {
    std::uint64_t from_bytes = 0;  ///< give back at least so much, or nothing
    std::uint64_t run_bytes = 0;   ///< shorter gaps stay
  };
  /// Gives the space between the records `keep` (of its footer, in its order) back to the host: the
  /// footer is replaced by one that names only those, durably, then holes are punched. The caller
  /// makes sure that no index points to the others, also after a power cut. Returns the bytes given
  /// back: 0 if it is not worth it, the segment is in use or has no footer, or the host's file
  /// system has no holes.
  std::uint64_t punch(SegmentId id, const std::vector<FooterEntry>& keep,
                      const PunchLimits& limits);
  bool can_punch() const { return can_punch_.load(std::memory_order_relaxed); }

  // --- the files ---

  std::vector<Info> list() const;
  /// What the host has left for them, the reserve included.
  std::uint64_t free_bytes() const;
  std::optional<Info> find(SegmentId id) const;
  /// Unlinks the file. Readers that have it open go on. Returns the bytes given back. The caller
  /// makes sure that nothing points there; a segment in use stays, and 0 is returned.
  std::uint64_t remove(SegmentId id);
  /// Takes a file that cannot be read out of the set and renames it to "<name>.damaged", so that
  /// nothing uses or removes it.
  void set_aside(SegmentId id);
  /// The highest id used so far.
  SegmentId last_id() const;
  std::uint64_t total_bytes() const;
  /// The size at which a segment is full.
  std::uint64_t segment_bytes() const { return segment_bytes_; }
  /// Device flushes since construction.
  std::uint64_t flushes() const;

 private:
  struct Segment {
    std::uint64_t bytes = 0;
    bool sealed = false;
    std::weak_ptr<SegmentWriter> writer;  ///< alive while it is a stream's, or held
  };
  struct Stream {
    Mutex mutex;
    std::shared_ptr<SegmentWriter> writer GUARDED_BY(mutex);
  };

  std::string path_of(SegmentId id) const;
  SegmentIdentity identity_of(SegmentId id) const { return SegmentIdentity{store_, id}; }
  std::shared_ptr<SegmentWriter> current(SegmentStream stream);
  void retire(SegmentStream stream, const std::shared_ptr<SegmentWriter>& writer);
  void note_written(const SegmentWriter& writer);
  void note_sealed(SegmentId id, std::uint64_t bytes) REQUIRES(mutex_);
  void sync_names(const std::vector<std::shared_ptr<SegmentWriter>>& writers);
  void refuse_after_failed_sync() const;
  std::shared_ptr<const File> file_of(SegmentId id) const;
  ByteView read_briefly(const Digest& digest, const Location& location,
                        std::uint32_t stored_bytes) const;
  Bytes read_raw(const Digest& digest, const Location& location, std::uint32_t stored_bytes) const;
  std::vector<FooterEntry> entries_of(const File& file, SegmentId id) const;

  Disk& disk_;
  const std::string directory_;
  const StoreId store_;
  const std::uint64_t segment_bytes_;

  /// Taken before mutex_; held while a new file is created.
  std::array<Stream, 3> streams_;

  mutable Mutex mutex_;
  std::map<SegmentId, Segment> segments_ GUARDED_BY(mutex_);
  SegmentId last_id_ GUARDED_BY(mutex_);
  std::map<SegmentId, std::uint64_t> newly_sealed_ GUARDED_BY(mutex_);

  std::atomic<bool> can_punch_{true};  ///< until the host refuses
  std::atomic<bool> sync_failed_{false};
  std::atomic<std::uint64_t> flushes_{0};
  Mutex names_mutex_;  ///< held while the directory is flushed

  /// Open files, so that a store with many segments does not run out of descriptors.
  mutable LruCache<SegmentId, File> files_;
};

}  // namespace varve
