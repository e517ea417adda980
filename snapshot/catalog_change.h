// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "snapshot/catalog_impl.h"

namespace varve {

/// The one change of a catalog that has the turn, from construction to finish or destruction. One
/// thread at a time.
class CatalogChange : public Catalog::Change {
 public:
  /// Waits for the turn.
  explicit CatalogChange(CatalogImpl& catalog);
  ~CatalogChange() override;

  ObjectsBatch& batch() override;
  Txg next_txg(NodeId node) override;
  Txg parent_txg(NodeId node) const override;
  LineageNode node(NodeId id) const override;
  std::optional<VolumeRow> volume(VolumeId id) const override;
  VolumeRow create_volume(const std::string& name, std::int64_t created_ns) override;
  VolumeRow clone_volume(const std::string& name, const SnapshotRow& source,
                         std::int64_t created_ns) override;
  void set_root(NodeId head, std::optional<Ptr> root) override;
  SnapshotRow create_snapshot(VolumeId volume, const std::string& name,
                              std::int64_t created_ns) override;
  void rollback(VolumeId volume, const SnapshotRow& to) override;
  void delete_snapshot(const SnapshotRow& snapshot) override;
  void delete_volume(VolumeId volume) override;
  void update_volume(const VolumeRow& row) override;
  void update_snapshot(const SnapshotRow& row) override;
  Csn finish(Lsn replay_from) override;

  CatalogStaging& staging();

 private:
  const CatalogStaging& staging() const;
  std::optional<Bytes> find(const std::optional<Ptr>& root, const Key& key);

  /// Ends the turn however the change ends.
  struct Turn {
    explicit Turn(CatalogImpl& of);
    ~Turn();
    CatalogImpl& catalog;
  };
  CatalogImpl& catalog_;
  std::unique_ptr<Turn> turn_;  // null once finished
  CatalogStaging staging_;
  std::unique_ptr<ObjectsBatch> batch_;
};

}  // namespace varve
