// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/commit_delta.h"
#include "store/location.h"
#include "store/object_check.h"
#include "store/objects.h"
#include "store/objects_batch.h"
#include "store/read_pins.h"
#include "store/store.h"

namespace varve {

/// The objects of one store directory: segment files, the index in front of them, the cache of
/// contents, and the reclaim of space. Knows nothing of the journal: its owner makes commits
/// durable and re-applies them after a crash.
///
/// Order of use: construct; in recovery apply() each commit after applied_csn() in order, or
/// rebuild_index() if there is a gap; finish_recovery(); then everything. Safe to share between
/// threads, except that apply, set_references and close are serialized by the caller.
class LocalObjects final : public Objects, public ObjectCheck {
 public:
  struct Paths {
    std::string segments;  ///< a directory that exists
    std::string index;     ///< the SQLite file; created if absent
  };

  /// What a new store needs: the directory for segments and an empty index that belongs to `id`.
  /// Their names are durable once the caller has flushed the directories that they are in.
  static void create(Disk& disk, const Paths& paths, const StoreId& id);

  /// Opens the index, or sets it aside and rebuilds it from the segments when it is missing,
  /// damaged or of another store; see needs_references(). Throws StoreError, and UserError(ENOTSUP)
  /// if the index or a segment is of a newer format.
  LocalObjects(Disk& disk, Paths paths, const StoreId& id, const StoreOptions& options);
  /// Stops the threads and leaves on disk what a crash would leave.
  ~LocalObjects() override;

  // --- recovery ---

  /// The last commit that is published; after construction, the last one that the index on disk
  /// holds: commits up to it need not be applied again.
  Csn applied_csn() const;
  /// Sets the index aside and makes one of all objects in the segments with zero references, for
  /// an owner that finds commits missing between applied_csn() and its journal, or that apply()
  /// refuses with CorruptionError. needs_references() is true afterwards.
  void rebuild_index(const std::string& reason);
  /// True after a rebuild until set_references; survives a restart. apply() must not be called
  /// meanwhile and reclaim() does nothing.
  bool needs_references() const;
  /// Sets the number of birth events of each object as of commit `csn`, which becomes the applied
  /// one; durable on return. Objects not named are dead. Named objects that are in no segment are
  /// remembered as lost: reading one is CorruptionError, putting its content heals it.
  void set_references(Csn csn,
                      const std::function<void(const std::function<void(const Digest&)>&)>& count);
  /// To be called once after recovery with the last commit: seals the segments that a crash left
  /// open, and starts the clock of the pins.
  void finish_recovery(Csn csn);

  // --- commits ---

  /// A batch; it must end before this object does.
  std::unique_ptr<LocalBatch> begin();
  /// Publishes a commit whose record is durable: lookups see it on return, the index on disk later.
  /// A commit up to applied_csn() is skipped. Waits while the changes not yet on disk are too many.
  /// Throws StoreError when the index cannot be written, and CorruptionError, with nothing
  /// published, when a release has no birth or a commit before this one was not applied.
  void apply(const CommitDelta& delta);
  /// The journal may forget commits up to this one: they are in the index, and durable there.
  Csn checkpointed_csn() const;
  /// Makes all applied commits durable in the index; blocks. checkpointed_csn() is the last applied
  /// commit on return. Throws StoreError.
  void checkpoint();

  // --- reading ---

  SharedBytes read(const Digest& digest, Wait wait) override;
  std::size_t read_part(const Digest& digest, std::uint32_t offset,
                        std::span<std::byte> out) override;
  void probe(const Digest& digest, Wait wait) override;
  /// Where and how large an object is; empty if it is not there. A dead object that was not
  /// reclaimed yet is there.
  std::optional<Placement> find(const Digest& digest);
  ReadPins& pins();

  // --- space ---

  struct ReclaimLimits {
    std::uint64_t purged_objects = 200'000;    ///< at most so many in one call
    std::uint64_t copied_bytes = 64ull << 20;  ///< by compaction, in one call
    std::uint32_t compact_below_live_percent = 70;
    std::uint64_t retire_from_bytes = 4ull << 20;  ///< a sparse segment still written to
    std::uint64_t punch_from_bytes = 1ull << 20;   ///< holes in one segment give back so much
    std::uint64_t punch_run_bytes = 64ull << 10;   ///< shorter dead runs stay
  };
  /// Frees objects that died before every pin, unlinks segments that hold nothing else, punches
  /// holes where long runs are dead, and compacts what is still sparse. Returns the bytes given
  /// back to the host. Throws StoreError; nothing is lost by a failure. One call at a time does the
  /// work, others wait.
  std::uint64_t reclaim(const ReclaimLimits& limits);
  std::uint64_t reclaim() { return reclaim(ReclaimLimits()); }
  /// What the last round left to be done. Any thread may ask.
  ReclaimRest reclaim_rest() const;

  struct Figures {
    std::uint64_t live_bytes = 0;      ///< stored bytes, both copies, of objects with references
    std::uint64_t segment_bytes = 0;   ///< of segment files
    std::uint64_t objects = 0;         ///< that the index knows
    std::uint64_t object_reads = 0;    ///< from segments, since open
    std::uint64_t device_flushes = 0;  ///< of segments, since open
    std::uint64_t cache_bytes = 0;
    std::uint64_t cache_hits = 0;
    std::uint64_t cache_misses = 0;
    std::uint64_t damaged_objects = 0;
  };
  Figures figures() const;

  // --- checking ---

  std::vector<LiveObject> live_after(const std::optional<Digest>& after,
                                     std::size_t limit) override;
  std::optional<LiveObject> live(const Digest& digest) override;
  ObjectHealth check(const Digest& digest) override;
  std::vector<Digest> damaged() const override;
  std::vector<RescuedObject> rescue(const std::vector<Digest>& digests) override;
  std::vector<FileFinding> check_segments() override;
  std::vector<FileFinding> check_index() override;
  std::uint64_t compare_index(const std::function<void(const std::string&)>& problem) override;
  /// True if every copy of `digest` is what it should be.
  bool verify(const Digest& digest) { return check(digest) == ObjectHealth::kSound; }
  /// Calls `visit` with each object with references, in order of digests, as of the last applied
  /// commit; applies everything to the index first.
  void visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit);

  /// Seals the open segments, applies and checkpoints everything, and stops the threads. Only the
  /// destructor may follow. Throws StoreError.
  void close();

 private:
  friend class LocalBatch;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace varve
