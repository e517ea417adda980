// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog_staging.h"

#include <cerrno>

#include "snapshot/names.h"
#include "store/base/error.h"

namespace varve {
namespace {

void check_labels(const std::string& owner, const std::map<std::string, std::string>& labels) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : labels) bytes += key.size() + value.size() + 4;
  if (bytes > kMaxLabelBytes) {
    throw UserError(E2BIG, "The labels of " + owner + " are too long. Use at most " +
                               std::to_string(kMaxLabelBytes) + " bytes");
  }
}

}  // namespace

CatalogStaging::CatalogStaging(const CatalogState& base, Csn csn, const OwnershipRules& rules)
    : base_(base),
      csn_(csn),
      rules_(rules),
      counters_(base.counters),
      families_(base.families()),
      nodes_(base.nodes()),
      volumes_(base.volumes()),
      snapshots_(base.snapshots()),
      deletions_(base.deletions()) {}

// ---- views -------------------------------------------------------------------------------------

const LineageNode& CatalogStaging::node(NodeId id) const {
  const LineageNode* found = nodes_.find(id);
  VARVE_CHECK(found != nullptr);
  return *found;
}

Txg CatalogStaging::parent_txg(const LineageNode& child) const {
  return child.parent ? node(*child.parent).txg : 0;
}

Txg CatalogStaging::next_txg(NodeId id) { return ++families_.edit(node(id).family).last_txg; }

bool CatalogStaging::volume_name_taken(const std::string& name) const {
  for (const auto& [id, row] : volumes_.changes()) {
    if (row && row->trashed_ns == 0 && row->name == name) return true;
  }
  const auto published = base_.volume_names().find(name);
  return published != base_.volume_names().end() && !volumes_.changes().contains(published->second);
}

bool CatalogStaging::snapshot_name_taken(VolumeId volume, const std::string& name) const {
  for (const auto& [id, row] : snapshots_.changes()) {
    if (row && !row->hidden && row->volume == volume && row->name == name) return true;
  }
  const auto published = base_.snapshot_names().find({volume, name});
  return published != base_.snapshot_names().end() &&
         !snapshots_.changes().contains(published->second);
}

std::size_t CatalogStaging::visible_snapshots(VolumeId volume) const {
  std::size_t count = 0;
  for (const auto& [id, row] : snapshots_.changes()) {
    if (row && !row->hidden && row->volume == volume) ++count;
  }
  const auto& names = base_.snapshot_names();
  for (auto at = names.lower_bound({volume, ""}); at != names.end() && at->first.first == volume;
       ++at) {
    if (!snapshots_.changes().contains(at->second)) ++count;
  }
  return count;
}

std::vector<NodeId> CatalogStaging::children(NodeId id) const {
  std::vector<NodeId> out;
  for (const NodeId child : base_.children(id)) {
    if (!nodes_.changes().contains(child)) out.push_back(child);
  }
  for (const auto& [child, row] : nodes_.changes()) {
    if (row && row->parent == id) out.push_back(child);
  }
  return out;
}

/// The current row of a volume that a user means.
const VolumeRow& CatalogStaging::known_volume(VolumeId id) const {
  const VolumeRow* current = volumes_.find(id);
  if (current == nullptr) throw UserError(ENOENT, "The volume does not exist any more");
  return *current;
}

/// The current row of a snapshot that a user means.
const SnapshotRow& CatalogStaging::visible_snapshot(const SnapshotRow& row) const {
  const SnapshotRow* current = snapshots_.find(row.node);
  if (current == nullptr || current->hidden) {
    throw UserError(ENOENT, "The snapshot " + row.name + " does not exist any more");
  }
  return *current;
}

// ---- lineage -----------------------------------------------------------------------------------

LineageNode CatalogStaging::add_node(LineageNode row) {
  row.id = NodeId{counters_.next_node++};
  ++families_.edit(row.family).nodes;
  const std::optional<NodeId> parent = row.parent;
  row.parent.reset();
  nodes_.put(row.id, row);
  set_parent(row.id, parent);
  return node(row.id);
}

void CatalogStaging::set_parent(NodeId id, std::optional<NodeId> parent) {
  LineageNode& row = nodes_.edit(id);
  if (row.parent) --nodes_.edit(*row.parent).children;
  row.parent = parent;
  if (parent) ++nodes_.edit(*parent).children;
}

/// Takes a node out of the lineage: its children move to its parent, and what only it owned is
/// deleted in the background. A hidden parent that lost its second last child goes as well.
void CatalogStaging::remove_node(NodeId id) {
  const LineageNode removed = node(id);
  const std::vector<NodeId> orphans = children(id);
  stage_deletion(removed.root, parent_txg(removed),
                 orphans.empty() ? std::nullopt : std::optional(orphans.front()));
  for (const NodeId child : orphans) set_parent(child, removed.parent);
  set_parent(id, std::nullopt);
  nodes_.erase(id);
  snapshots_.erase(id);
  if (--families_.edit(removed.family).nodes == 0) families_.erase(removed.family);
  if (removed.parent) remove_if_unneeded(*removed.parent);
}

void CatalogStaging::remove_if_unneeded(NodeId id) {
  const LineageNode& row = node(id);
  if (row.hidden && !rules_.stays_hidden(row.children)) remove_node(id);
}

void CatalogStaging::stage_deletion(const std::optional<Ptr>& root, Txg lo,
                                    std::optional<NodeId> child) {
  const std::optional<Ptr> compare = child ? node(*child).root : std::nullopt;
  if (!root || root == compare || !rules_.deletion_covers(root->birth, lo)) return;
  DeletionRow row;
  row.id = DeletionId{counters_.next_deletion++};
  row.root = *root;
  row.lo = lo;
  row.compare = compare;
  row.child = child;
  row.pinned_csn = csn_;
  deletions_.put(row.id, row);
}

void CatalogStaging::set_root(NodeId head, const std::optional<Ptr>& root) {
  VARVE_CHECK(node(head).is_head);
  nodes_.edit(head).root = root;
}

// ---- volumes -----------------------------------------------------------------------------------

VolumeRow CatalogStaging::add_volume(const std::string& name, std::int64_t created_ns,
                                     LineageNode head) {
  VolumeRow row;
  row.id = VolumeId{counters_.next_volume++};
  row.name = name;
  head.is_head = true;
  row.head = add_node(std::move(head)).id;
  row.created_ns = created_ns;
  volumes_.put(row.id, row);
  return row;
}

VolumeRow CatalogStaging::create_volume(const std::string& name, std::int64_t created_ns) {
  validate_name(NameOf::kVolume, name);
  if (volume_name_taken(name)) {
    throw UserError(EEXIST,
                    "A volume named " + name + " already exists. Choose a different volume name");
  }
  FamilyRow family;
  family.id = FamilyId{counters_.next_family++};
  families_.put(family.id, family);
  LineageNode head;
  head.family = family.id;
  return add_volume(name, created_ns, head);
}

VolumeRow CatalogStaging::clone_volume(const std::string& name, const SnapshotRow& source,
                                       std::int64_t created_ns) {
  validate_name(NameOf::kVolume, name);
  if (volume_name_taken(name)) {
    throw UserError(EEXIST,
                    "A volume named " + name + " already exists. Choose a different volume name");
  }
  const SnapshotRow origin = visible_snapshot(source);
  const LineageNode& parent = node(origin.node);
  LineageNode head;
  head.family = parent.family;
  head.parent = rules_.parent_of_clone(parent);
  head.root = parent.root;
  const VolumeId id = add_volume(name, created_ns, head).id;
  const VolumeRow* of = volumes_.find(origin.volume);
  VolumeRow& row = volumes_.edit(id);
  row.source = (of != nullptr ? of->name : std::string()) + "@" + origin.name;
  return row;
}

void CatalogStaging::delete_volume(VolumeId id) {
  const VolumeRow row = known_volume(id);
  if (const std::size_t count = visible_snapshots(id); count > 0) {
    throw UserError(EBUSY,
                    "Volume(" + row.name + ") has (" + std::to_string(count) + ") snapshots");
  }
  volumes_.erase(id);
  remove_node(row.head);
}

void CatalogStaging::update_volume(const VolumeRow& row) {
  const VolumeRow& before = known_volume(row.id);
  const bool comes_back = before.trashed_ns != 0 || row.name != before.name;
  if (row.name != before.name) validate_name(NameOf::kVolume, row.name);
  if (row.trashed_ns == 0 && comes_back && volume_name_taken(row.name)) {
    throw UserError(
        EEXIST, "A volume named " + row.name + " already exists. Choose a different volume name");
  }
  if (row.labels != before.labels) check_labels("volume " + row.name, row.labels);
  VolumeRow& after = volumes_.edit(row.id);
  after.name = row.name;
  after.labels = row.labels;
  after.protect = row.protect;
  after.trashed_ns = row.trashed_ns;
  after.committed_lsn = row.committed_lsn;
}

// ---- snapshots ---------------------------------------------------------------------------------

SnapshotRow CatalogStaging::create_snapshot(SnapshotRow row) {
  validate_name(NameOf::kSnapshot, row.name);
  const NodeId head = known_volume(row.volume).head;
  if (snapshot_name_taken(row.volume, row.name)) {
    throw UserError(EEXIST, "A snapshot named " + row.name +
                                " already exists. Choose a different snapshot name");
  }
  LineageNode taken = node(head);
  taken.txg = next_txg(head);
  taken.is_head = false;
  taken.children = 0;
  row.node = add_node(taken).id;
  set_parent(head, row.node);
  snapshots_.put(row.node, row);
  return row;
}

void CatalogStaging::rollback(VolumeId id, const SnapshotRow& to) {
  const VolumeRow& of = known_volume(id);
  const LineageNode target = node(visible_snapshot(to).node);
  const LineageNode before = node(of.head);
  if (target.family != before.family) {
    throw UserError(EINVAL, "The snapshot " + to.name + " is not of volume " + of.name +
                                " or its relatives. Choose one of its own snapshots");
  }
  set_parent(before.id, rules_.parent_after_rollback(before, target));
  nodes_.edit(before.id).root = target.root;
  // What the head held goes like a node of its own without children.
  stage_deletion(before.root, parent_txg(before), std::nullopt);
  if (before.parent) remove_if_unneeded(*before.parent);
}

void CatalogStaging::delete_snapshot(const SnapshotRow& snapshot) {
  const NodeId id = visible_snapshot(snapshot).node;
  if (rules_.stays_hidden(node(id).children)) {
    nodes_.edit(id).hidden = true;
    snapshots_.edit(id).hidden = true;
  } else {
    remove_node(id);
  }
}

void CatalogStaging::update_snapshot(const SnapshotRow& row) {
  visible_snapshot(row);
  check_labels("snapshot " + row.name, row.labels);
  snapshots_.edit(row.node).labels = row.labels;
}

// ---- result ------------------------------------------------------------------------------------

namespace {

template <class Id, class Row>
void collect(RowType type, const StagedRows<Id, Row>& rows,
             std::map<Key, std::optional<Bytes>>& out) {
  for (const auto& [id, row] : rows.changes()) {
    out[row_key(type, id)] = row ? std::optional(encode_row(*row)) : std::nullopt;
  }
}

}  // namespace

std::vector<Change> CatalogStaging::changes() const {
  std::map<Key, std::optional<Bytes>> rows;
  rows[row_key(RowType::kCounters, 0)] = encode_row(counters_);
  collect(RowType::kFamily, families_, rows);
  collect(RowType::kNode, nodes_, rows);
  collect(RowType::kVolume, volumes_, rows);
  collect(RowType::kSnapshot, snapshots_, rows);
  collect(RowType::kDeletion, deletions_, rows);
  std::vector<Change> out;
  out.reserve(rows.size());
  for (auto& [key, value] : rows) out.push_back({key, std::move(value)});
  return out;
}

void CatalogStaging::publish(CatalogState& state) const {
  const auto apply = [&](const auto& rows, auto erase) {
    for (const auto& [id, row] : rows.changes()) row ? state.put(*row) : erase(id);
  };
  const auto erase = [&](auto id) { state.erase(id); };
  state.counters = counters_;
  apply(families_, erase);
  apply(nodes_, erase);
  apply(volumes_, erase);
  apply(snapshots_, [&](NodeId id) { state.erase_snapshot(id); });
  apply(deletions_, erase);
}

}  // namespace varve
