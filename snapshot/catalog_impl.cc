// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog_impl.h"

#include <algorithm>
#include <utility>

#include "snapshot/births.h"
#include "snapshot/catalog_change.h"
#include "snapshot/deletion.h"
#include "snapshot/node_cache.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {

std::unique_ptr<Catalog> Catalog::load(Store& store, NodeCache& cache) {
  return load_catalog(store, cache, {});
}

std::unique_ptr<Catalog> load_catalog(Store& store, NodeCache& cache,
                                      const CatalogOptions& options) {
  return std::make_unique<CatalogImpl>(store, cache, options);
}

CatalogImpl::CatalogImpl(Store& store, NodeCache& cache, const CatalogOptions& options)
    : store_(store), cache_(cache), options_(options) {
  const Bytes root = store.root();
  if (root.empty()) return;
  root_ = decode_root(root);
  state_ = CatalogState::load(Tree(cache, root_));
  for (const auto& [id, row] : state_.deletions()) {
    if (!row.stuck && rules().deletion_holds_space()) pins_[id] = store.pin_at(row.pinned_csn);
  }
}

CatalogImpl::~CatalogImpl() = default;

const OwnershipRules& CatalogImpl::rules() const {
  return options_.rules != nullptr ? *options_.rules : OwnershipRules::standard();
}

// ---- reading -----------------------------------------------------------------------------------

std::optional<VolumeRow> CatalogImpl::volume(const std::string& name) const {
  const MutexLock lock(mutex_);
  const auto found = state_.volume_names().find(name);
  if (found == state_.volume_names().end()) return std::nullopt;
  return state_.volumes().at(found->second);
}

std::optional<VolumeRow> CatalogImpl::volume(VolumeId id) const {
  const MutexLock lock(mutex_);
  const auto found = state_.volumes().find(id);
  if (found == state_.volumes().end()) return std::nullopt;
  return found->second;
}

std::vector<VolumeRow> CatalogImpl::volumes(bool trashed) const {
  std::vector<VolumeRow> out;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, row] : state_.volumes()) {
      if ((row.trashed_ns != 0) == trashed) out.push_back(row);
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const VolumeRow& a, const VolumeRow& b) { return a.name < b.name; });
  return out;
}

std::optional<SnapshotRow> CatalogImpl::snapshot(VolumeId volume, const std::string& name) const {
  const MutexLock lock(mutex_);
  const auto found = state_.snapshot_names().find({volume, name});
  if (found == state_.snapshot_names().end()) return std::nullopt;
  return state_.snapshots().at(found->second);
}

std::vector<SnapshotRow> CatalogImpl::snapshots(VolumeId volume) const {
  std::vector<SnapshotRow> out;
  {
    const MutexLock lock(mutex_);
    const auto& names = state_.snapshot_names();
    for (auto at = names.lower_bound({volume, ""}); at != names.end() && at->first.first == volume;
         ++at) {
      out.push_back(state_.snapshots().at(at->second));
    }
  }
  // Node numbers ascend with time.
  std::sort(out.begin(), out.end(),
            [](const SnapshotRow& a, const SnapshotRow& b) { return a.node < b.node; });
  return out;
}

std::vector<SnapshotRow> CatalogImpl::snapshots() const {
  std::vector<SnapshotRow> out;
  const MutexLock lock(mutex_);
  for (const auto& [id, row] : state_.snapshots()) {
    if (!row.hidden) out.push_back(row);
  }
  return out;
}

LineageNode CatalogImpl::node(NodeId id) const {
  const MutexLock lock(mutex_);
  const auto found = state_.nodes().find(id);
  VARVE_CHECK(found != state_.nodes().end());
  return found->second;
}

std::size_t CatalogImpl::pending_deletions() const {
  const MutexLock lock(mutex_);
  return state_.deletions().size();
}

// ---- changing ----------------------------------------------------------------------------------

void CatalogImpl::take_turn() {
  const MutexLock lock(mutex_);
  while (turn_taken_) turn_given_.wait(mutex_);
  turn_taken_ = true;
}

void CatalogImpl::give_turn() {
  const MutexLock lock(mutex_);
  turn_taken_ = false;
  turn_given_.notify_one();
}

std::unique_ptr<Catalog::Change> CatalogImpl::begin() {
  return std::make_unique<CatalogChange>(*this);
}

std::optional<Ptr> CatalogImpl::edit_rows(ObjectsBatch& batch, const CatalogStaging& staging,
                                          const std::optional<Ptr>& root) {
  // The catalog tree has one owner and no snapshots: its births only have to differ.
  const Txg txg = root ? root->birth + 1 : 1;
  return edit_tree(cache_, batch, root, staging.changes(), {txg, 0, options_.limits, nullptr});
}

std::map<DeletionId, std::unique_ptr<ReadPin>> CatalogImpl::fresh_pins(
    const CatalogStaging& staging) {
  std::map<DeletionId, std::unique_ptr<ReadPin>> out;
  if (!rules().deletion_holds_space()) return out;
  const auto& before = state_of_turn().deletions();
  for (const auto& [id, row] : staging.deletions()) {
    if (row && !before.contains(id)) out[id] = store_.pin_at(row->pinned_csn);
  }
  return out;
}

void CatalogImpl::update_pins(const CatalogStaging& staging,
                              std::map<DeletionId, std::unique_ptr<ReadPin>> fresh) {
  pins_.merge(fresh);
  for (const auto& [id, row] : staging.deletions()) {
    if (row && !row->stuck) continue;
    pins_.erase(id);
    unreadable_.erase(id);
  }
}

Csn CatalogImpl::commit(std::unique_ptr<ObjectsBatch> batch, const CatalogStaging& staging,
                        Lsn replay_from) {
  std::optional<Ptr> root;
  {
    const MutexLock lock(mutex_);
    root = root_;
  }
  root = edit_rows(*batch, staging, root);
  // Pinned before the commit: what it releases may be needed by the deletions that it begins.
  auto pins = fresh_pins(staging);
  const Csn csn = store_.commit(std::move(batch), encode_root(*root), replay_from);
  const MutexLock lock(mutex_);
  root_ = root;
  staging.publish(state_);
  update_pins(staging, std::move(pins));
  return csn;
}

// ---- background deletion -----------------------------------------------------------------------

std::optional<DeletionRow> CatalogImpl::next_deletion() const {
  const MutexLock lock(mutex_);
  for (const auto& [id, row] : state_.deletions()) {
    if (!row.stuck) return row;
  }
  return std::nullopt;
}

std::optional<Ptr> CatalogImpl::compare_root(const DeletionRow& row) const {
  const MutexLock lock(mutex_);
  const auto child = row.child ? state_.nodes().find(*row.child) : state_.nodes().end();
  return rules().compare_root(row.compare,
                              child == state_.nodes().end() ? row.compare : child->second.root);
}

bool CatalogImpl::delete_step(std::size_t max_releases, Lsn replay_from) {
  CatalogChange change(*this);
  const std::optional<DeletionRow> row = next_deletion();
  if (!row) return false;
  DeletionRow after = *row;
  bool done = false;
  try {
    {
      const MutexLock lock(mutex_);
      if (unreadable_.contains(row->id)) throw CorruptionError("its trees could not be recounted");
    }
    const std::optional<Ptr> compare = compare_root(*row);
    DeletionWalk walk(cache_, *row, compare, rules());
    const auto keep_cursor = [&] { after.cursor = walk.cursor(); };
    try {
      done = walk.run({std::max<std::size_t>(max_releases, 1), options_.nodes_per_step},
                      [&](const Ptr& ptr) { change.batch().release(ptr.digest); });
      keep_cursor();
    } catch (const CorruptionError&) {
      keep_cursor();  // what was visited before the damage is released
      throw;
    }
  } catch (const CorruptionError& error) {
    after.stuck = true;
    log_error("catalog", std::string("a background deletion met damage and is given up, its space "
                                     "comes back with the next recount: ") +
                             error.what());
  }
  if (done) {
    change.staging().erase_deletion(row->id);
  } else {
    change.staging().put_deletion(after);
  }
  change.finish(replay_from);
  return true;
}

// ---- recount -----------------------------------------------------------------------------------

void CatalogImpl::count_births(const std::function<void(const Digest&)>& visit) const {
  const std::unique_ptr<ReadPin> pin = store_.pin();
  CatalogState state;
  std::optional<Ptr> root;
  {
    const MutexLock lock(mutex_);
    state = state_;
    root = root_;
  }
  const auto count = [&](const Ptr& ptr) { visit(ptr.digest); };
  for (const auto& [id, node] : state.nodes()) {
    const Txg lo = node.parent ? state.nodes().at(*node.parent).txg : 0;
    visit_births(cache_, node.root, lo, count);
  }
  for (const auto& [id, row] : state.deletions()) {
    if (row.stuck) continue;
    try {
      DeletionWalk walk(cache_, row, row.compare, OwnershipRules::standard());
      walk.run({}, count);
    } catch (const CorruptionError& error) {
      log_error("catalog", std::string("recount of a background deletion: ") + error.what());
      const MutexLock lock(mutex_);
      unreadable_.insert(id);
    }
  }
  visit_births(cache_, root, 0, count);
}

}  // namespace varve
