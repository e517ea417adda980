// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/disk.h"
#include "store/journal.h"
#include "store/object_check.h"
#include "store/objects.h"

namespace varve {

/// Numbers the commits of a store, from 1.
using Csn = std::uint64_t;

struct StoreOptions {
  std::uint64_t segment_bytes = 64ull << 20;
  std::uint64_t journal_file_bytes = 64ull << 20;  ///< a multiple of 4 KiB
  std::uint32_t journal_files_max = 6;             ///< the ring grows from 1 file to this many
  std::uint64_t object_cache_bytes = 128ull << 20;
  std::uint64_t reserve_bytes = 96ull << 20;  ///< free space kept for deletes and commits
  int compression_level = 1;                  ///< zstd; 0 stores as it is
  bool drop_damaged_journal = false;          ///< `varve repair --drop-damaged-journal`
  std::size_t worker_threads = 2;
};

/// Figures for `varve status` and `df`. Bytes unless the name says otherwise.
struct StoreFigures {
  std::uint64_t live_bytes = 0;              ///< stored bytes of objects with references
  std::uint64_t segment_bytes = 0;           ///< allocated by segment files
  std::uint64_t journal_bytes = 0;           ///< between the trim point and the end
  std::uint64_t journal_file_bytes = 0;      ///< taken on the host by the journal's files
  std::uint64_t journal_capacity_bytes = 0;  ///< what they can grow to
  std::uint64_t free_bytes = 0;              ///< of the host file system, less the reserve
  std::uint64_t total_bytes = 0;             ///< of the host file system
  std::uint64_t objects = 0;
  std::uint64_t damaged_objects = 0;         ///< known to have a damaged copy
  std::uint64_t device_flushes = 0;          ///< since open
  std::uint64_t journal_appended_bytes = 0;  ///< since open, padding included
  std::uint64_t object_reads = 0;            ///< since open, from segments
  std::uint64_t cache_bytes = 0;
  std::uint64_t cache_hits = 0;
  std::uint64_t cache_misses = 0;
  Csn csn = 0;
  bool read_only = false;  ///< a sync failed; changes are refused
};

/// Keeps every object that is alive at its creation, or dies later, readable until it is
/// destroyed. Thread-safe to create and destroy.
class ReadPin {
 public:
  virtual ~ReadPin() = default;
  virtual Csn csn() const = 0;
};

/// What a round of reclaim left for later ones.
enum class ReclaimRest {
  kNothing,   ///< nothing before something dies again
  kMore,      ///< it stopped at a limit: the next round goes on at once
  kWantsRoom  ///< the host has no room for the copies of compaction: later
};

/// A store directory: segments, journal, index, one exclusive owner. It knows bytes and digests and
/// nothing of file systems. Safe to share between threads.
///
/// After a failed sync every change throws StoreError(EIO), reads go on (docs/durability.md).
class Store {
 public:
  /// The root that the last commit left: opaque bytes of the layer above, empty in a new store.
  static constexpr std::size_t kMaxRootBytes = 1024;

  /// Makes an empty store in `path`, which must be absent or an empty directory. Throws UserError
  /// that names the path and the remedy.
  static void create(Disk& disk, const std::string& path, const StoreOptions& options);
  /// True if `path` holds a FORMAT file.
  static bool exists(const Disk& disk, const std::string& path);

  /// Takes the lock, recovers, and returns the store. Journal records of the layers above that the
  /// last trim kept are given by replay(). Throws UserError (in use: EBUSY; not a store: ENOENT;
  /// newer format: ENOTSUP) or CorruptionError (damaged FORMAT or journal) with the remedy.
  ///
  /// No object is forgotten before the first commit() or reclaim(): until then the caller takes the
  /// pins of what goes on after the restart.
  static std::unique_ptr<Store> open(Disk& disk, const std::string& path,
                                     const StoreOptions& options);
  /// True if the index was found damaged while it was in use: the next open makes it anew.
  static bool index_is_marked(const Disk& disk, const std::string& path);
  /// Marks the index so. Nobody may have the store open.
  static void mark_index(Disk& disk, const std::string& path);
  virtual ~Store() = default;

  /// Calls `visit` with each kOperation and kSnapshot record kept, in order. To be called at most
  /// once, before the first append.
  virtual void replay(const std::function<void(const JournalRecord&)>& visit) = 0;

  virtual const std::string& path() const = 0;
  virtual std::array<std::byte, 16> id() const = 0;
  virtual Objects& objects() = 0;
  virtual JournalAppender& journal() = 0;

  virtual std::unique_ptr<ObjectsBatch> begin() = 0;

  /// Makes `batch` and `root` durable and then visible, atomically: flushes the touched segments,
  /// then appends and flushes the commit record. The journal may forget operations before
  /// `replay_from`. When it throws, nothing is visible and the store has turned read-only.
  /// Commits are serialized by the caller.
  virtual Csn commit(std::unique_ptr<ObjectsBatch> batch, ByteView root, Lsn replay_from) = 0;
  /// The root of the last commit.
  virtual Bytes root() const = 0;
  virtual Csn csn() const = 0;

  /// Waits while the journal is more than three quarters full, then throws StoreError(ENOSPC) if
  /// `bytes` do not fit into the free space less the reserve. To be called outside every lock,
  /// before an operation that stores data. `want_commit` of the constructor's owner is asked for
  /// a commit meanwhile: see on_pressure.
  virtual void admit(std::uint64_t bytes) = 0;
  /// `callback` is called (from any thread, at most once per half of the journal) when a commit
  /// would let the journal be trimmed. Set once after open.
  virtual void on_pressure(std::function<void()> callback) = 0;

  virtual std::unique_ptr<ReadPin> pin() = 0;
  /// A pin that begins at an earlier commit, for a background delete that goes on after a restart.
  virtual std::unique_ptr<ReadPin> pin_at(Csn csn) = 0;
  /// What died before this commit is held back by no pin: reclaim() may have more to do when it has
  /// grown, because a commit was made or a pin went.
  virtual Csn reclaim_horizon() const = 0;
  /// Frees the space of objects that died before every pin. Returns bytes given back to the host.
  virtual std::uint64_t reclaim() = 0;
  /// What the last reclaim() left to be done.
  virtual ReclaimRest reclaim_rest() const = 0;

  virtual StoreFigures figures() const = 0;

  /// True when open() found the index missing, damaged or not of this store: it has been set aside,
  /// an index of all objects in the segments with zero references stands in its place, and
  /// set_references must be called before anything else but reads and replay.
  virtual bool needs_references() const = 0;
  /// Sets the number of birth events of each object, recounted from the trees; objects not named
  /// are dead. `count` is called once with a function to be called for each birth event.
  virtual void set_references(
      const std::function<void(const std::function<void(const Digest&)>&)>& count) = 0;
  /// The number of birth events of each live object, for tests and fsck.
  virtual void visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit) = 0;

  /// The objects for those who look for damage.
  virtual ObjectCheck& check() = 0;
  /// Reads superblock, journal, index and the frames of the segments back from the disk. A damaged
  /// superblock, and damaged headers and footers of segments, are written anew; a damaged index is
  /// rebuilt by the next open; of a damaged journal see trim(). Throws StoreError.
  virtual std::vector<FileFinding> check_files() = 0;
  /// A text of the layer above, kept in a file of its own, replaced as a whole; empty if there is
  /// none or it cannot be read. Not part of any commit.
  virtual std::string note() const = 0;
  virtual void set_note(const std::string& text) = 0;
  /// Lets the journal forget, now, what the last commit and the index allow: after commits of
  /// everything that it holds, damage in it is behind its begin.
  virtual void trim() = 0;

  /// Applies everything to the index, marks the store clean and stops the threads. Further calls
  /// are bugs. The destructor without close() leaves what a crash leaves.
  virtual void close() = 0;
};

}  // namespace varve
