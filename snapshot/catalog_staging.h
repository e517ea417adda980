// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "snapshot/catalog_state.h"
#include "snapshot/ownership.h"
#include "snapshot/tree_edit.h"
#include "store/base/error.h"

namespace varve {

/// Changes of rows of one table, laid over the published rows. References and pointers that it
/// gives are valid until the next change of the same row.
template <class Id, class Row>
class StagedRows {
 public:
  explicit StagedRows(const std::map<Id, Row>& base) : base_(base) {}

  const Row* find(Id id) const {
    const auto staged = changes_.find(id);
    if (staged != changes_.end()) return staged->second ? &*staged->second : nullptr;
    const auto published = base_.find(id);
    return published == base_.end() ? nullptr : &published->second;
  }
  /// A row that must exist, to be changed in place.
  Row& edit(Id id) {
    const Row* row = find(id);
    VARVE_CHECK(row != nullptr);
    auto& staged = changes_.try_emplace(id).first->second;
    if (!staged) staged = *row;
    return *staged;
  }
  void put(Id id, const Row& row) { changes_.insert_or_assign(id, row); }
  void erase(Id id) { changes_.insert_or_assign(id, std::nullopt); }
  const std::map<Id, std::optional<Row>>& changes() const { return changes_; }

 private:
  const std::map<Id, Row>& base_;
  std::map<Id, std::optional<Row>> changes_;
};

/// The row changes of one commit: how volumes, snapshots and their lineage change, on top of the
/// published state, which must not change meanwhile. Work is O(rows changed). One thread.
class CatalogStaging {
 public:
  /// `csn` is that of the last commit.
  CatalogStaging(const CatalogState& base, Csn csn, const OwnershipRules& rules);

  const LineageNode& node(NodeId id) const;
  const VolumeRow* volume(VolumeId id) const { return volumes_.find(id); }
  const SnapshotRow* snapshot(NodeId id) const { return snapshots_.find(id); }
  Txg parent_txg(const LineageNode& node) const;
  Txg next_txg(NodeId node);

  /// See Catalog::Change for these.
  VolumeRow create_volume(const std::string& name, std::int64_t created_ns);
  VolumeRow clone_volume(const std::string& name, const SnapshotRow& source,
                         std::int64_t created_ns);
  void set_root(NodeId head, const std::optional<Ptr>& root);
  SnapshotRow create_snapshot(SnapshotRow row);  ///< node is assigned
  void rollback(VolumeId volume, const SnapshotRow& to);
  void delete_snapshot(const SnapshotRow& snapshot);
  void delete_volume(VolumeId volume);
  void update_volume(const VolumeRow& row);
  void update_snapshot(const SnapshotRow& row);

  void put_deletion(const DeletionRow& row) { deletions_.put(row.id, row); }
  void erase_deletion(DeletionId id) { deletions_.erase(id); }
  const std::map<DeletionId, std::optional<DeletionRow>>& deletions() const {
    return deletions_.changes();
  }

  /// The edits of the catalog tree.
  std::vector<Change> changes() const;
  /// Applies everything to the published state.
  void publish(CatalogState& state) const;

 private:
  bool volume_name_taken(const std::string& name) const;
  bool snapshot_name_taken(VolumeId volume, const std::string& name) const;
  std::size_t visible_snapshots(VolumeId volume) const;
  std::vector<NodeId> children(NodeId id) const;
  const VolumeRow& known_volume(VolumeId id) const;
  const SnapshotRow& visible_snapshot(const SnapshotRow& row) const;

  VolumeRow add_volume(const std::string& name, std::int64_t created_ns, LineageNode head);
  LineageNode add_node(LineageNode node);
  void set_parent(NodeId id, std::optional<NodeId> parent);
  void remove_node(NodeId id);
  void remove_if_unneeded(NodeId id);
  void stage_deletion(const std::optional<Ptr>& root, Txg lo, std::optional<NodeId> child);

  const CatalogState& base_;
  const Csn csn_;
  const OwnershipRules& rules_;
  CountersRow counters_;
  StagedRows<FamilyId, FamilyRow> families_;
  StagedRows<NodeId, LineageNode> nodes_;
  StagedRows<VolumeId, VolumeRow> volumes_;
  StagedRows<NodeId, SnapshotRow> snapshots_;
  StagedRows<DeletionId, DeletionRow> deletions_;
};

}  // namespace varve
