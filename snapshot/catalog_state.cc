// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog_state.h"

#include "store/base/error.h"

namespace varve {
namespace {

void expect(bool condition, const std::string& what) {
  if (!condition) throw CorruptionError("catalog: " + what);
}

std::string text(NodeId id) { return std::to_string(static_cast<std::uint64_t>(id)); }

}  // namespace

CatalogState CatalogState::load(const Tree& tree) {
  CatalogState out;
  tree.scan({}, {Ino{UINT64_MAX}, Kind::kLinkref, UINT64_MAX}, Wait::kAllowed,
            [&](const Key& key, ByteView value) {
              out.load_row(key, value);
              return true;
            });
  out.derive();
  return out;
}

void CatalogState::load_row(const Key& key, ByteView value) {
  expect(key.kind == Kind::kHeadInfo, "a row with a key of another kind");
  switch (static_cast<RowType>(to_integer(key.ino))) {
    case RowType::kCounters:
      expect(key.sub == 0, "more than one row of counters");
      counters = decode_counters(value);
      return;
    case RowType::kFamily:
      return put(decode_family(FamilyId{key.sub}, value));
    case RowType::kNode: {
      const LineageNode row = decode_node(NodeId{key.sub}, value);
      nodes_.emplace(row.id, row);  // parents may come later: derive() indexes
      return;
    }
    case RowType::kVolume: {
      const VolumeRow row = decode_volume(VolumeId{key.sub}, value);
      expect(row.trashed_ns != 0 || !volume_names_.contains(row.name),
             "two volumes are named " + row.name);
      return put(row);
    }
    case RowType::kSnapshot: {
      const SnapshotRow row = decode_snapshot(NodeId{key.sub}, value);
      snapshots_.emplace(row.node, row);
      return;
    }
    case RowType::kDeletion:
      return put(decode_deletion(DeletionId{key.sub}, value));
  }
  throw CorruptionError("catalog: a row of unknown type " + std::to_string(to_integer(key.ino)));
}

/// What rows do not store, and the checks that need all rows.
void CatalogState::derive() {
  for (auto& [id, node] : nodes_) {
    const auto family = families_.find(node.family);
    expect(family != families_.end(), "node " + text(id) + " is of an unknown family");
    ++family->second.nodes;
    expect(node.is_head || (node.txg > 0 && node.txg <= family->second.last_txg),
           "snapshot " + text(id) + " was taken at an impossible time");
    expect(static_cast<std::uint64_t>(id) < counters.next_node, "node " + text(id) + " is new");
    if (!node.parent) continue;
    const auto parent = nodes_.find(*node.parent);
    expect(
        parent != nodes_.end() && !parent->second.is_head && parent->second.family == node.family,
        "node " + text(id) + " has no right parent");
    // Parents are older, so there is no cycle.
    expect(node.is_head || parent->second.txg < node.txg,
           "snapshot " + text(id) + " is older than its parent");
    ++parent->second.children;
    children_[*node.parent].insert(id);
  }
  std::set<NodeId> heads;
  for (const auto& [id, volume] : volumes_) {
    const auto head = nodes_.find(volume.head);
    expect(head != nodes_.end() && head->second.is_head, "volume " + volume.name + " has no head");
    expect(heads.insert(volume.head).second, "volume " + volume.name + " has another's head");
    expect(static_cast<std::uint64_t>(id) < counters.next_volume,
           "volume " + volume.name + " is new");
  }
  for (const auto& [id, family] : families_) {
    expect(static_cast<std::uint64_t>(id) < counters.next_family, "a family is new");
  }
  for (const auto& [id, deletion] : deletions_) {
    expect(static_cast<std::uint64_t>(id) < counters.next_deletion, "a deletion is new");
  }
  for (auto& [id, snapshot] : snapshots_) {
    const auto node = nodes_.find(id);
    expect(node != nodes_.end() && !node->second.is_head,
           "snapshot " + snapshot.name + " has no node");
    snapshot.hidden = node->second.hidden;
    if (snapshot.hidden) continue;
    expect(volumes_.contains(snapshot.volume), "snapshot " + snapshot.name + " has no volume");
    expect(snapshot_names_.emplace(std::pair(snapshot.volume, snapshot.name), id).second,
           "two snapshots are named " + snapshot.name);
  }
}

const std::set<NodeId>& CatalogState::children(NodeId id) const {
  static const std::set<NodeId> kNone;
  const auto found = children_.find(id);
  return found == children_.end() ? kNone : found->second;
}

void CatalogState::put(const LineageNode& row) {
  erase(row.id);
  nodes_[row.id] = row;
  if (row.parent) children_[*row.parent].insert(row.id);
}

void CatalogState::erase(NodeId id) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  if (const std::optional<NodeId> parent = found->second.parent) {
    const auto siblings = children_.find(*parent);
    siblings->second.erase(id);
    if (siblings->second.empty()) children_.erase(siblings);
  }
  nodes_.erase(found);
}

void CatalogState::put(const VolumeRow& row) {
  erase(row.id);
  volumes_[row.id] = row;
  if (row.trashed_ns == 0) volume_names_[row.name] = row.id;
}

void CatalogState::erase(VolumeId id) {
  const auto found = volumes_.find(id);
  if (found == volumes_.end()) return;
  const auto name = volume_names_.find(found->second.name);
  if (name != volume_names_.end() && name->second == id) volume_names_.erase(name);
  volumes_.erase(found);
}

void CatalogState::put(const SnapshotRow& row) {
  erase_snapshot(row.node);
  snapshots_[row.node] = row;
  if (!row.hidden) snapshot_names_[{row.volume, row.name}] = row.node;
}

void CatalogState::erase_snapshot(NodeId id) {
  const auto found = snapshots_.find(id);
  if (found == snapshots_.end()) return;
  const auto name = snapshot_names_.find({found->second.volume, found->second.name});
  if (name != snapshot_names_.end() && name->second == id) snapshot_names_.erase(name);
  snapshots_.erase(found);
}

}  // namespace varve
