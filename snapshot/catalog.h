// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "snapshot/lineage.h"
#include "snapshot/tree.h"
#include "store/store.h"

namespace varve {

/// Names every volume, for ever; a clone is a new volume.
enum class VolumeId : std::uint64_t {};

/// A volume: a name for a head, with what the user said about it.
struct VolumeRow {
  VolumeId id{};
  std::string name;
  NodeId head{};                ///< the lineage node of its head
  std::int64_t created_ns = 0;  ///< since the epoch
  std::string source;           ///< "VOLUME@SNAPSHOT" of a clone, else empty
  std::map<std::string, std::string> labels;
  bool protect = false;
  std::int64_t trashed_ns = 0;  ///< 0: not in the trash
  Lsn committed_lsn = 0;        ///< operations of the head before it are in the tree
};

/// A snapshot as users see it. Its manifest is the lineage node's root.
struct SnapshotRow {
  NodeId node{};
  VolumeId volume{};
  std::string name;
  std::int64_t created_ns = 0;
  std::uint64_t logical_bytes = 0;  ///< HeadInfoRecord::logical_bytes at the cut
  std::uint64_t quota_bytes = 0;
  std::map<std::string, std::string> labels;
  bool hidden = false;  ///< deleted while two or more children need it
};

/// What a deletion of snapshots gives back. The catalog's own rows, some KiB, are left out.
struct RemovalSpace {
  std::uint64_t bytes = 0;    ///< in the segments, all copies
  std::uint64_t objects = 0;  ///< that nothing else refers to
  std::size_t kept = 0;       ///< snapshots that stay, hidden, while several children need them
};

/// All volumes, snapshots and pending deletions of a store with their lineage, kept as the records
/// of one tree whose root is the store's root. Reads are from memory. Changes are staged in a
/// CatalogChange and become visible when the store committed them. Safe to share between threads.
class Catalog {
 public:
  /// Loads everything under store.root(). Throws CorruptionError.
  static std::unique_ptr<Catalog> load(Store& store, NodeCache& cache);
  virtual ~Catalog() = default;

  virtual std::optional<VolumeRow> volume(const std::string& name) const = 0;  ///< not trashed
  virtual std::optional<VolumeRow> volume(VolumeId id) const = 0;
  virtual std::vector<VolumeRow> volumes(bool trashed) const = 0;  ///< by name
  virtual std::optional<SnapshotRow> snapshot(VolumeId volume, const std::string& name) const = 0;
  virtual std::vector<SnapshotRow> snapshots(VolumeId volume) const = 0;  ///< visible, oldest first
  virtual std::vector<SnapshotRow> snapshots() const = 0;                 ///< of all volumes
  virtual LineageNode node(NodeId id) const = 0;                          ///< unknown: bug
  /// Background deletions that are not finished, those given up because of damage included.
  virtual std::size_t pending_deletions() const = 0;

  /// One commit: begins with a batch; the caller puts the objects of new trees into batch(), stages
  /// row changes, and finishes. One at a time (a mutex is held from begin to finish). A UserError
  /// leaves the change as it was before the call. New roots are staged before deletions: a deletion
  /// compares with its child's root at that moment, which must not be replaced by the same change.
  class Change {
   public:
    virtual ~Change() = default;
    virtual ObjectsBatch& batch() = 0;
    /// The next txg of the family of `node`; each call a new one.
    virtual Txg next_txg(NodeId node) = 0;
    /// The birth limit of a head: its parent's txg, 0 without a parent.
    virtual Txg parent_txg(NodeId node) const = 0;
    /// As the catalog will be after this change.
    virtual LineageNode node(NodeId id) const = 0;
    virtual std::optional<VolumeRow> volume(VolumeId id) const = 0;

    /// A new volume with a new head in a new family; the head's root is empty.
    virtual VolumeRow create_volume(const std::string& name, std::int64_t created_ns) = 0;
    /// A new volume whose head is a child of snapshot `source` and has its root: O(1).
    virtual VolumeRow clone_volume(const std::string& name, const SnapshotRow& source,
                                   std::int64_t created_ns) = 0;
    /// Moves the head's root after an edit in this change; `row` updates by update_volume.
    virtual void set_root(NodeId head, std::optional<Ptr> root) = 0;
    /// The present root of the volume's head becomes a snapshot: O(1). Duplicate: UserError(EEXIST)
    /// "A snapshot named NAME already exists. Choose a different snapshot name".
    virtual SnapshotRow create_snapshot(VolumeId volume, const std::string& name,
                                        std::int64_t created_ns) = 0;
    /// The head becomes a child of `to` with its root; what only the old head held is deleted in
    /// the background.
    virtual void rollback(VolumeId volume, const SnapshotRow& to) = 0;
    /// Hides or removes the snapshot; its space comes back in the background.
    virtual void delete_snapshot(const SnapshotRow& snapshot) = 0;
    /// Removes the volume and its head for good. Visible snapshots: UserError(EBUSY)
    /// "Volume(NAME) has (N) snapshots".
    virtual void delete_volume(VolumeId volume) = 0;
    /// Replaces name, labels, protect, trashed_ns, committed_lsn; id and head stay.
    virtual void update_volume(const VolumeRow& row) = 0;
    virtual void update_snapshot(const SnapshotRow& row) = 0;  ///< labels only

    /// Commits batch and rows to the store and publishes them. After a throw nothing is visible.
    virtual Csn finish(Lsn replay_from) = 0;
  };
  virtual std::unique_ptr<Change> begin() = 0;

  /// One bounded step of background deletion: at most `max_releases` birth events in one commit.
  /// False when nothing was left to do. Survives a kill at each commit: no leak, no double free. A
  /// deletion that meets damage is given up for good: it releases nothing that it cannot see, and
  /// the next recount returns its space.
  virtual bool delete_step(std::size_t max_releases, Lsn replay_from) = 0;

  /// What the store would give back if these snapshots were deleted now, one after the other, with
  /// nothing else changing. Reads what the background deletion would read, holds nobody up.
  virtual RemovalSpace removal_space(const std::vector<SnapshotRow>& snapshots) = 0;

  /// What contradicts itself in the rows beyond what load() refuses, in sentences.
  virtual std::vector<std::string> problems() const = 0;

  /// Calls `visit` for every birth event that should be counted: own pointers of every lineage
  /// node, the rest of pending deletions, and the catalog's own nodes. For Store::set_references
  /// and fsck. Exact while no change finishes meanwhile. Damaged nodes are logged, and what is only
  /// below them is left out.
  virtual void count_births(const std::function<void(const Digest&)>& visit) const = 0;
};

}  // namespace varve
