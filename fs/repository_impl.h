// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fs/attached_volume.h"
#include "fs/committer.h"
#include "fs/repository.h"
#include "fs/scrubber.h"
#include "snapshot/catalog.h"
#include "snapshot/node_cache.h"
#include "store/base/mutex.h"
#include "store/store.h"

namespace varve {

/// The repository over a store that is open already, so that tests can bring their own. Its parts:
/// repository_open.cc (recovery), repository_volumes.cc, repository_snapshots.cc,
/// repository_attach.cc, repository_browse.cc, repository_background.cc, repository_check.cc.
///
/// Commands that change volumes run one at a time (admin_mutex_, outermost); snapshots of volumes
/// in use and everything that only looks do not wait for them.
class RepositoryImpl final : public Repository {
 public:
  /// Recovers. `store` must not have been replayed yet.
  RepositoryImpl(std::unique_ptr<Store> store, const RepositoryOptions& options);
  /// Without close() this leaves what a crash leaves. No volume may be in use.
  ~RepositoryImpl() override;

  VolumeInfo create_volume(const CreateVolume& request) override;
  VolumeInfo clone_volume(const CreateVolume& request, const std::string& source) override;
  std::vector<VolumeInfo> volumes() override;
  std::vector<VolumeInfo> trash() override;
  VolumeInfo volume(const std::string& name) override;
  using Repository::remove_volume;
  void remove_volume(const std::string& name, WithSnapshots snapshots) override;
  VolumeInfo restore_volume(const std::string& name) override;
  std::size_t purge_trash(std::int64_t trashed_before_ns) override;
  void set_quota(const std::string& name, std::uint64_t quota_bytes) override;
  void set_labels(const std::string& name,
                  const std::map<std::string, std::string>& labels) override;
  void set_protect(const std::string& name, bool protect) override;

  SnapshotRow create_snapshot(const std::string& volume, const std::string& name,
                              const std::map<std::string, std::string>& labels) override;
  std::vector<SnapshotRow> snapshots(const std::string& volume) override;
  SnapshotRow snapshot(const std::string& reference) override;
  void remove_snapshot(const std::string& reference) override;
  SnapshotRow rollback(const std::string& volume, const std::string& snapshot,
                       const Invalidate& invalidate) override;
  std::vector<PathChange> diff(const std::string& before, const std::string& after) override;

  std::shared_ptr<Volume> attach(const std::string& volume) override;
  std::shared_ptr<Volume> resume(const std::string& volume) override;
  void end_resume() override;
  std::shared_ptr<Volume> attach_snapshot(const std::string& reference) override;
  std::shared_ptr<Volume> with_snapshots(std::shared_ptr<Volume> attached,
                                         const std::string& name) override;

  void sync() override;
  void commit() override;
  bool step() override;

  void start_scrub(std::uint64_t rate_bytes) override;
  void stop_scrub() override;
  ScrubProgress scrub_progress() override;
  std::vector<DamagedFile> damaged_files() override;
  FsckReport fsck() override;
  RemovalSpace removal_space(const std::vector<std::string>& references) override;
  /// For tests without threads.
  Scrubber& scrubber() { return scrubber_; }

  StoreFigures figures() const override { return store_->figures(); }
  std::uint64_t dirty_bytes() const override { return committer_.dirty_bytes(); }
  std::size_t pending_deletions() const override { return catalog_->pending_deletions(); }
  Store& store() override { return *store_; }
  Catalog& catalog() override { return *catalog_; }
  void close() override;

 private:
  /// A volume that is in use, or whose last changes could not be committed yet.
  struct Attachment {
    std::shared_ptr<Head> head;
    std::shared_ptr<AttachedVolume> volume;  ///< null: nobody uses it
  };

  // repository_open.cc
  struct Replayed;
  using ReplayedVolumes = std::map<VolumeId, Replayed>;
  void recount_references();
  void recover();
  ReplayedVolumes replay();
  void note_request(const JournalRecord& record, VolumeId volume, Replayed& replayed) const;
  static Lsn oldest_lsn(const ReplayedVolumes& volumes, Lsn end);
  void recover_step(ReplayedVolumes& volumes, Lsn end);
  void keep_uncommitted(VolumeId volume, const Replayed& replayed, Lsn end);

  // repository_volumes.cc
  Time now() const;
  std::int64_t now_ns() const;
  VolumeRow find_volume(const std::string& name) const;
  std::vector<VolumeInfo> infos_of(const std::vector<VolumeRow>& rows);
  VolumeInfo info_of(const VolumeRow& row);
  std::string root_digest(const VolumeRow& row);
  std::vector<SnapshotRow> untrashed_snapshots() const;
  HeadInfoRecord head_info(const VolumeRow& row);
  void stage_new_volume(Catalog::Change& change, const VolumeRow& row, const CreateVolume& request);
  void update_row(const std::string& name, const std::function<void(VolumeRow&)>& edit)
      REQUIRES(admin_mutex_);
  void refuse_in_use(const VolumeRow& row) REQUIRES(admin_mutex_);

  // repository_snapshots.cc
  SnapshotRow find_snapshot(const std::string& reference);
  std::optional<SnapshotRow> bare_snapshot(const std::string& name);
  SnapshotCut cut_of(const VolumeRow& row, const std::string& name,
                     const std::map<std::string, std::string>& labels) const;
  SnapshotRow take_snapshot(const SnapshotCut& cut) REQUIRES(admin_mutex_);
  SnapshotRow clone_source(const std::string& source) REQUIRES(admin_mutex_);
  std::string rollback_name(const VolumeRow& row);
  void roll_back(const VolumeRow& row, const SnapshotRow& to) REQUIRES(admin_mutex_);

  /// The tree of a lineage node, pinned; none if it is gone by now.
  struct Manifest {
    LineageNode node;
    std::shared_ptr<const Base> base;
  };
  Manifest manifest_of(const std::string& reference);
  std::optional<Manifest> manifest_of(const VolumeRow& row);
  std::optional<Manifest> manifest_of(const SnapshotRow& row);
  std::shared_ptr<const Base> pinned(const LineageNode& node);

  // repository_attach.cc
  AttachedVolumeSetup setup_of(const std::shared_ptr<Head>& head);
  std::shared_ptr<Volume> attach(const std::string& name, bool resumed);
  std::shared_ptr<AttachedVolume> attached(VolumeId volume) const;
  void detach(VolumeId volume);
  bool forget_if_clean(VolumeId volume) REQUIRES(admin_mutex_);
  /// Null if the snapshot is gone by now.
  std::shared_ptr<Volume> view_of(const SnapshotRow& row);

  // repository_browse.cc
  class BrowsedSnapshots;
  void stop_browsing(NodeId snapshot);

  // repository_check.cc
  std::vector<NamedTree> named_trees();

  // repository_background.cc
  bool clean_step();
  bool free_orphans();
  void clean_in_background();
  void request_cleaning();
  void renew_pins();
  void stop_threads();

  const RepositoryOptions options_;
  const std::unique_ptr<Store> store_;
  NodeCache cache_;
  const std::unique_ptr<Catalog> catalog_;
  Committer committer_;
  Scrubber scrubber_;
  /// Dies with this object: a handle that outlives it detaches nothing.
  std::shared_ptr<RepositoryImpl*> alive_;

  Mutex admin_mutex_;  ///< outermost
  /// Held while rows are removed, and while a row is turned into its lineage node.
  Mutex rows_mutex_ ACQUIRED_AFTER(admin_mutex_);
  mutable Mutex mutex_ ACQUIRED_AFTER(admin_mutex_);
  std::map<VolumeId, Attachment> attachments_ GUARDED_BY(mutex_);  ///< changed under admin_mutex_
  /// Snapshots that were attached, some of them no longer.
  struct SnapshotView {
    std::weak_ptr<Head> head;
    SnapshotRow row;
  };
  std::vector<SnapshotView> snapshot_views_ GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<BrowsedSnapshots>> browsed_ GUARDED_BY(mutex_);
  std::atomic<Csn> reclaimed_horizon_{0};

  Mutex clean_mutex_;
  CondVar clean_wake_;
  bool clean_wanted_ GUARDED_BY(clean_mutex_) = false;
  bool stopping_ GUARDED_BY(clean_mutex_) = false;
  std::thread cleaner_;
};

}  // namespace varve
