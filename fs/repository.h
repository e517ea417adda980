// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/fsck.h"
#include "fs/scrub_state.h"
#include "fs/volume.h"
#include "fs/volume_changes.h"
#include "snapshot/catalog.h"
#include "snapshot/damage.h"
#include "snapshot/diff.h"
#include "store/store.h"

namespace varve {

struct RepositoryOptions {
  /// Set: an earlier process has died or left and the kernel still has mounts of these volumes,
  /// which resume() takes over. Each with the journal's end when that mount began. What the journal
  /// holds is committed in the background then, and not by the opening.
  std::optional<std::map<VolumeId, Lsn>> resumed;
  StoreOptions store;
  std::uint64_t node_cache_bytes = 96ull << 20;
  std::uint64_t dirty_limit_bytes = 64ull << 20;   ///< a commit starts above it, per store
  std::uint64_t dirty_stall_bytes = 256ull << 20;  ///< writers wait above it
  std::uint32_t commit_interval_ms = 5000;         ///< 0: only on demand (tests)
  std::size_t scrub_batch_objects = 4096;          ///< a pass saves its place after so many
  bool background = true;  ///< committer and deletion threads; false: step() drives them (tests)
  std::function<Time()> clock;  ///< default: the system's
};

/// A volume as users see it in lists.
struct VolumeInfo {
  VolumeRow row;
  std::uint64_t quota_bytes = 0;
  std::uint64_t logical_bytes = 0;
  std::uint64_t inodes = 0;
  std::size_t snapshots = 0;
  bool attached = false;
  std::string root_digest;  ///< of the newest commit's root, in hex; empty before the first
};

/// Everything a store holds, by name: volumes, snapshots, and the volumes attached for use. Owns
/// store, catalog and background work. Safe to share between threads. User mistakes are UserError
/// with a sentence that names the object and the remedy.
class Repository {
 public:
  /// Opens the store at `path` (created first if `create` and absent) and recovers: volumes with
  /// operations in the journal are replayed and committed, cuts recorded there become snapshots.
  static std::unique_ptr<Repository> open(Disk& disk, const std::string& path, bool create,
                                          const RepositoryOptions& options);
  virtual ~Repository() = default;

  // Volumes
  struct CreateVolume {
    std::string name;               ///< empty: a generated 64-hex name
    std::uint64_t quota_bytes = 0;  ///< 0: no limit
    std::map<std::string, std::string> labels;
    std::uint32_t root_mode = 0755, root_uid = 0, root_gid = 0;
  };
  virtual VolumeInfo create_volume(const CreateVolume& request) = 0;
  /// `source` is "VOLUME@SNAPSHOT", a snapshot's bare name if only one volume has it, or "VOLUME"
  /// (a snapshot with a generated name is taken first). quota 0 keeps the source's.
  virtual VolumeInfo clone_volume(const CreateVolume& request, const std::string& source) = 0;
  virtual std::vector<VolumeInfo> volumes() = 0;
  virtual std::vector<VolumeInfo> trash() = 0;
  /// By name, or an unambiguous prefix (≥ 4 characters) of a generated one. ENOENT otherwise.
  virtual VolumeInfo volume(const std::string& name) = 0;
  /// What removing a volume that has snapshots does.
  enum class WithSnapshots { kRefuse, kToo };
  /// To the trash, with its snapshots if they go too. EBUSY when attached, protected, or
  /// "Volume(NAME) has (N) snapshots".
  virtual void remove_volume(const std::string& name, WithSnapshots snapshots) = 0;
  void remove_volume(const std::string& name) { remove_volume(name, WithSnapshots::kRefuse); }
  virtual VolumeInfo restore_volume(const std::string& name) = 0;  ///< newest trashed of that name
  /// Volumes trashed before that time, and their snapshots, are gone for good.
  virtual std::size_t purge_trash(std::int64_t trashed_before_ns) = 0;
  virtual void set_quota(const std::string& name, std::uint64_t quota_bytes) = 0;
  virtual void set_labels(const std::string& name,
                          const std::map<std::string, std::string>& labels) = 0;
  virtual void set_protect(const std::string& name, bool protect) = 0;

  // Snapshots. The kernel's dirty pages of mounts must have been flushed by the caller.
  /// Durable on return; empty name: generated. Writers are held for microseconds.
  virtual SnapshotRow create_snapshot(const std::string& volume, const std::string& name,
                                      const std::map<std::string, std::string>& labels) = 0;
  /// "": of all volumes that are not in the trash.
  virtual std::vector<SnapshotRow> snapshots(const std::string& volume) = 0;
  /// "VOLUME@SNAPSHOT" or a bare name that is unique.
  virtual SnapshotRow snapshot(const std::string& reference) = 0;
  virtual void remove_snapshot(const std::string& reference) = 0;
  /// Takes a snapshot of the present state first (named "before-rollback-…"), then shows
  /// `snapshot`. An attached volume changes under its users: `invalidate` is called once with what
  /// differs, with the gate closed, so that the mount can tell the kernel; it must not wait.
  /// Returns the snapshot taken first.
  using Invalidate = std::function<void(std::shared_ptr<const VolumeChanges>)>;
  virtual SnapshotRow rollback(const std::string& volume, const std::string& snapshot,
                               const Invalidate& invalidate) = 0;
  /// Each side is "VOLUME" (its present state, committed first) or "VOLUME@SNAPSHOT".
  virtual std::vector<PathChange> diff(const std::string& before, const std::string& after) = 0;

  // Use
  /// The one writer of `volume`; EBUSY when attached already. Detached when the last reference is
  /// dropped (everything is committed; lookups and orphans are dropped).
  virtual std::shared_ptr<Volume> attach(const std::string& volume) = 0;
  /// The same for a volume of RepositoryOptions::resumed, whose mount an earlier process has
  /// served: unlinked inodes live on until the kernel forgets them, and requests that the earlier
  /// process has applied are known (Volume::applied_before) until Volume::end_resume.
  virtual std::shared_ptr<Volume> resume(const std::string& volume) = 0;
  /// Forgets the requests of the volumes that nobody has resumed.
  virtual void end_resume() = 0;
  /// A read-only view of a snapshot; any number.
  virtual std::shared_ptr<Volume> attach_snapshot(const std::string& reference) = 0;

  /// `attached`, which attach or resume gave for the volume `name`, with its snapshots to be looked
  /// into at /.snapshots, see with_snapshots(). Those that are removed meanwhile become ESTALE.
  virtual std::shared_ptr<Volume> with_snapshots(std::shared_ptr<Volume> attached,
                                                 const std::string& name) = 0;

  /// Everything acknowledged is durable.
  virtual void sync() = 0;
  /// Commits every dirty volume and waits.
  virtual void commit() = 0;
  /// Without background threads: one round of commit, deletion and reclaim. True if work was done.
  virtual bool step() = 0;

  // Damage
  /// Reads every object back from the disk, in a thread of its own, and repairs what is damaged:
  /// begins a pass, or goes on with one that was interrupted. `rate_bytes` a second, 0: no limit.
  virtual void start_scrub(std::uint64_t rate_bytes) = 0;
  /// Interrupts the pass; its place is kept.
  virtual void stop_scrub() = 0;
  virtual ScrubProgress scrub_progress() = 0;
  /// The files that damaged objects concern which could not be repaired.
  virtual std::vector<DamagedFile> damaged_files() = 0;
  /// Checks trees, catalog, index and counts. For a store that nothing else uses; see check_store.
  virtual FsckReport fsck() = 0;
  /// What removing these snapshots would give back.
  virtual RemovalSpace removal_space(const std::vector<std::string>& references) = 0;

  virtual StoreFigures figures() const = 0;
  /// Memory held by changes that are in the journal and not committed yet.
  virtual std::uint64_t dirty_bytes() const = 0;
  virtual std::size_t pending_deletions() const = 0;
  virtual Store& store() = 0;
  virtual Catalog& catalog() = 0;

  /// Commits, stops threads, marks the store clean. Volumes must be detached.
  virtual void close() = 0;
};

}  // namespace varve
