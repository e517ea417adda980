// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog_change.h"

#include <utility>

#include "snapshot/node_cache.h"
#include "snapshot/record.h"
#include "store/base/error.h"

namespace varve {

CatalogChange::Turn::Turn(CatalogImpl& of) : catalog(of) { catalog.take_turn(); }
CatalogChange::Turn::~Turn() { catalog.give_turn(); }

CatalogChange::CatalogChange(CatalogImpl& catalog)
    : catalog_(catalog),
      turn_(std::make_unique<Turn>(catalog)),
      staging_(catalog.state_of_turn(), catalog.store_.csn(), catalog.rules()),
      batch_(catalog.store_.begin()) {}

CatalogChange::~CatalogChange() = default;

CatalogStaging& CatalogChange::staging() {
  VARVE_CHECK(turn_ != nullptr);
  return staging_;
}

const CatalogStaging& CatalogChange::staging() const {
  VARVE_CHECK(turn_ != nullptr);
  return staging_;
}

ObjectsBatch& CatalogChange::batch() {
  VARVE_CHECK(batch_ != nullptr);
  return *batch_;
}

Txg CatalogChange::next_txg(NodeId id) { return staging().next_txg(id); }

Txg CatalogChange::parent_txg(NodeId id) const { return staging().parent_txg(staging().node(id)); }

LineageNode CatalogChange::node(NodeId id) const { return staging().node(id); }

std::optional<VolumeRow> CatalogChange::volume(VolumeId id) const {
  const VolumeRow* row = staging().volume(id);
  return row != nullptr ? std::optional(*row) : std::nullopt;
}

VolumeRow CatalogChange::create_volume(const std::string& name, std::int64_t created_ns) {
  return staging().create_volume(name, created_ns);
}

VolumeRow CatalogChange::clone_volume(const std::string& name, const SnapshotRow& source,
                                      std::int64_t created_ns) {
  return staging().clone_volume(name, source, created_ns);
}

void CatalogChange::set_root(NodeId head, std::optional<Ptr> root) {
  staging().set_root(head, root);
}

/// The record at `key` of a tree that may exist only in this change's batch.
std::optional<Bytes> CatalogChange::find(const std::optional<Ptr>& root, const Key& key) {
  if (!root) return std::nullopt;
  NodeCache& cache = catalog_.cache_;
  std::shared_ptr<const Node> node = cache.read(batch(), root->digest);
  while (!node->is_leaf()) {
    const std::size_t index = node->child_index(key);
    std::shared_ptr<const Node> child = cache.read(batch(), node->child(index).digest);
    check_child(*node, index, *child);
    node = std::move(child);
  }
  const std::optional<std::size_t> index = node->find(key);
  if (!index) return std::nullopt;
  const ByteView value = node->value(*index);
  return Bytes(value.begin(), value.end());
}

SnapshotRow CatalogChange::create_snapshot(VolumeId volume, const std::string& name,
                                           std::int64_t created_ns) {
  SnapshotRow row;
  row.volume = volume;
  row.name = name;
  row.created_ns = created_ns;
  if (const VolumeRow* of = staging().volume(volume)) {
    const Key key{kHeadIno, Kind::kHeadInfo, 0};
    if (const auto bytes = find(staging().node(of->head).root, key)) {
      const HeadInfoRecord info = HeadInfoRecord::decode(*bytes);
      row.logical_bytes = info.logical_bytes;
      row.quota_bytes = info.quota_bytes;
    }
  }
  return staging().create_snapshot(row);
}

void CatalogChange::rollback(VolumeId volume, const SnapshotRow& to) {
  staging().rollback(volume, to);
}

void CatalogChange::delete_snapshot(const SnapshotRow& snapshot) {
  staging().delete_snapshot(snapshot);
}

void CatalogChange::delete_volume(VolumeId volume) { staging().delete_volume(volume); }

void CatalogChange::update_volume(const VolumeRow& row) { staging().update_volume(row); }

void CatalogChange::update_snapshot(const SnapshotRow& row) { staging().update_snapshot(row); }

Csn CatalogChange::finish(Lsn replay_from) {
  VARVE_CHECK(turn_ != nullptr);
  const std::unique_ptr<Turn> turn = std::move(turn_);  // given up even when the commit throws
  return catalog_.commit(std::move(batch_), staging_, replay_from);
}

}  // namespace varve
