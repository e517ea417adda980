// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "snapshot/catalog_rows.h"
#include "snapshot/tree.h"

namespace varve {

/// All rows of a catalog in memory, with the indexes that readers need. Not thread-safe: its owner
/// locks.
class CatalogState {
 public:
  /// Every row of `tree`. Throws CorruptionError for malformed rows and for rows that contradict
  /// each other: unknown parents, heads or families, cycles, names used twice.
  static CatalogState load(const Tree& tree);

  CountersRow counters;
  const std::map<FamilyId, FamilyRow>& families() const { return families_; }
  const std::map<NodeId, LineageNode>& nodes() const { return nodes_; }
  const std::map<VolumeId, VolumeRow>& volumes() const { return volumes_; }
  const std::map<NodeId, SnapshotRow>& snapshots() const { return snapshots_; }
  const std::map<DeletionId, DeletionRow>& deletions() const { return deletions_; }
  /// Volumes outside the trash.
  const std::map<std::string, VolumeId>& volume_names() const { return volume_names_; }
  /// Snapshots that are not hidden.
  const std::map<std::pair<VolumeId, std::string>, NodeId>& snapshot_names() const {
    return snapshot_names_;
  }
  /// The children of a lineage node.
  const std::set<NodeId>& children(NodeId id) const;

  /// Inserts or replaces a row and keeps the indexes right.
  void put(const FamilyRow& row) { families_[row.id] = row; }
  void put(const LineageNode& row);
  void put(const VolumeRow& row);
  void put(const SnapshotRow& row);
  void put(const DeletionRow& row) { deletions_[row.id] = row; }
  void erase(FamilyId id) { families_.erase(id); }
  void erase(NodeId id);
  void erase(VolumeId id);
  void erase_snapshot(NodeId id);
  void erase(DeletionId id) { deletions_.erase(id); }

 private:
  void load_row(const Key& key, ByteView value);
  void derive();

  std::map<FamilyId, FamilyRow> families_;
  std::map<NodeId, LineageNode> nodes_;
  std::map<VolumeId, VolumeRow> volumes_;
  std::map<NodeId, SnapshotRow> snapshots_;
  std::map<DeletionId, DeletionRow> deletions_;
  std::map<std::string, VolumeId> volume_names_;
  std::map<std::pair<VolumeId, std::string>, NodeId> snapshot_names_;
  std::map<NodeId, std::set<NodeId>> children_;
};

}  // namespace varve
