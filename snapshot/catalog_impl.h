// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>

#include "snapshot/catalog.h"
#include "snapshot/catalog_staging.h"
#include "snapshot/catalog_state.h"
#include "snapshot/ownership.h"
#include "snapshot/tree_edit.h"
#include "store/base/mutex.h"

namespace varve {

/// What tests change about a catalog.
struct CatalogOptions {
  NodeLimits limits{};
  const OwnershipRules* rules = nullptr;  ///< null: OwnershipRules::standard()
  std::size_t nodes_per_step = 512;       ///< node reads of one delete_step
};

/// Catalog::load with options; all arguments must outlive the catalog.
std::unique_ptr<Catalog> load_catalog(Store& store, NodeCache& cache,
                                      const CatalogOptions& options);

/// The catalog of one store. Rows are in memory and in the catalog tree; a commit changes both,
/// the tree first. One change at a time has the turn; readers never wait for it.
class CatalogImpl : public Catalog {
 public:
  CatalogImpl(Store& store, NodeCache& cache, const CatalogOptions& options);
  ~CatalogImpl() override;

  std::optional<VolumeRow> volume(const std::string& name) const override;
  std::optional<VolumeRow> volume(VolumeId id) const override;
  std::vector<VolumeRow> volumes(bool trashed) const override;
  std::optional<SnapshotRow> snapshot(VolumeId volume, const std::string& name) const override;
  std::vector<SnapshotRow> snapshots(VolumeId volume) const override;
  std::vector<SnapshotRow> snapshots() const override;
  LineageNode node(NodeId id) const override;
  std::size_t pending_deletions() const override;
  std::unique_ptr<Change> begin() override;
  bool delete_step(std::size_t max_releases, Lsn replay_from) override;
  RemovalSpace removal_space(const std::vector<SnapshotRow>& snapshots) override;
  std::vector<std::string> problems() const override;
  void count_births(const std::function<void(const Digest&)>& visit) const override;

 private:
  friend class CatalogChange;

  void take_turn() EXCLUDES(mutex_);
  void give_turn() EXCLUDES(mutex_);
  /// Commits what was staged under the turn, then publishes it.
  Csn commit(std::unique_ptr<ObjectsBatch> batch, const CatalogStaging& staging, Lsn replay_from)
      EXCLUDES(mutex_);
  std::optional<Ptr> edit_rows(ObjectsBatch& batch, const CatalogStaging& staging,
                               const std::optional<Ptr>& root);
  void update_pins(const CatalogStaging& staging,
                   std::map<DeletionId, std::unique_ptr<ReadPin>> fresh) REQUIRES(mutex_);
  std::map<DeletionId, std::unique_ptr<ReadPin>> fresh_pins(const CatalogStaging& staging);
  /// The published rows, for the holder of the turn: nobody else changes them, so it need not lock.
  const CatalogState& state_of_turn() const NO_THREAD_SAFETY_ANALYSIS { return state_; }
  const OwnershipRules& rules() const;

  std::optional<DeletionRow> next_deletion() const EXCLUDES(mutex_);
  std::optional<Ptr> compare_root(const DeletionRow& row) const EXCLUDES(mutex_);

  Store& store_;
  NodeCache& cache_;
  const CatalogOptions options_;

  mutable Mutex mutex_;
  CondVar turn_given_;
  bool turn_taken_ GUARDED_BY(mutex_) = false;
  CatalogState state_ GUARDED_BY(mutex_);
  std::optional<Ptr> root_ GUARDED_BY(mutex_);
  /// Of deletions that are not stuck.
  std::map<DeletionId, std::unique_ptr<ReadPin>> pins_ GUARDED_BY(mutex_);
  /// Deletions whose trees count_births could not read: their counts are not exact any more.
  mutable std::set<DeletionId> unreadable_ GUARDED_BY(mutex_);
};

}  // namespace varve
