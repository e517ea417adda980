// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "snapshot/catalog_impl.h"
#include "snapshot/node_cache.h"
#include "snapshot/ownership.h"
#include "tests/support/memory_store.h"

namespace varve::test {

/// A store that applies the releases of a commit before its births: an object whose last reference
/// goes and comes in one commit is thrown away, and what was deduplicated onto it with it.
class FreesFirstStore : public MemoryStore {
 public:
  std::unique_ptr<ObjectsBatch> begin() override;
  Csn commit(std::unique_ptr<ObjectsBatch> batch, ByteView root, Lsn replay_from) override;
};

/// Random histories of volumes, snapshots, clones, rollbacks, deletions and reclaim against the
/// real trees and the real catalog, with a plain model of every content beside them. Whatever is
/// wrong is thrown as std::runtime_error, so that a test can expect it.
class OwnershipWorld {
 public:
  /// `store` and `rules` may be mistaken on purpose.
  OwnershipWorld(std::uint64_t seed, MemoryStore& store, const OwnershipRules& rules);

  /// `steps` random steps, each checked, then deletes everything and looks for leaks.
  void run(int steps);

 private:
  using Content = std::map<std::uint64_t, std::string>;
  using Overlay = std::map<std::uint64_t, std::optional<std::string>>;

  void step();
  void create();
  void write(VolumeId volume);
  void toggle(VolumeId volume);
  void commit(Catalog::Change& change, VolumeId volume);
  void commit(VolumeId volume);
  void snapshot(VolumeId volume);
  void clone(const SnapshotRow& source);
  void remove_snapshot(const SnapshotRow& row);
  void remove_volume(VolumeId volume);
  void roll_back(VolumeId volume, const SnapshotRow& to);
  bool delete_step(std::size_t max_releases);
  void reopen();
  void delete_everything();

  void check();
  void check_content(NodeId node, const Content& want);
  void check_counts();
  std::map<Digest, std::uint64_t> recount_lineage();
  void count_owned(const Ptr& ptr, Txg lo, std::map<Digest, std::uint64_t>& out);

  std::uint64_t random(std::uint64_t limit) { return random_() % limit; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[random(from.size())];
  }
  std::vector<VolumeId> volumes() const;

  std::mt19937_64 random_;
  MemoryStore& store_;
  const OwnershipRules& rules_;
  std::unique_ptr<NodeCache> cache_;
  std::unique_ptr<Catalog> catalog_;
  std::map<NodeId, Content> contents_;  // of heads and visible snapshots
  std::map<VolumeId, Overlay> overlays_;
  int names_ = 0;
};

}  // namespace varve::test
