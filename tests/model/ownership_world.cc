// SPDX-License-Identifier: Apache-2.0
#include "tests/model/ownership_world.h"

#include <stdexcept>

#include "snapshot/record.h"
#include "snapshot/tree.h"
#include "snapshot/tree_edit.h"

namespace varve::test {
namespace {

/// Three to six entries a node: 41 records make a tree of three or four levels.
constexpr NodeLimits kTinyNodes{300, 110};
constexpr std::uint64_t kKeys = 41;
constexpr std::uint64_t kValues = 26;

Key region_key(std::uint64_t number) { return {Ino{number + 1}, Kind::kRegion, 0}; }

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

class FreesFirstBatch : public ObjectsBatch {
 public:
  explicit FreesFirstBatch(std::unique_ptr<ObjectsBatch> inner) : inner_(std::move(inner)) {}
  Stored put(ByteView content, ObjectKind kind, Effort effort) override {
    const Stored stored = inner_->put(content, kind, effort);
    ++births_[stored.digest];
    return stored;
  }
  Stored retain(const Digest& digest) override { return inner_->retain(digest); }
  void release(const Digest& digest) override {
    ++releases_[digest];
    inner_->release(digest);
  }
  SharedBytes read(const Digest& digest, Wait wait) override { return inner_->read(digest, wait); }

  std::unique_ptr<ObjectsBatch> inner_;
  std::map<Digest, std::uint64_t> births_;
  std::map<Digest, std::uint64_t> releases_;
};

}  // namespace

std::unique_ptr<ObjectsBatch> FreesFirstStore::begin() {
  return std::make_unique<FreesFirstBatch>(MemoryStore::begin());
}

Csn FreesFirstStore::commit(std::unique_ptr<ObjectsBatch> batch, ByteView root, Lsn replay_from) {
  auto& own = dynamic_cast<FreesFirstBatch&>(*batch);
  std::vector<Digest> lost;
  for (const auto& [digest, count] : own.releases_) {
    const std::uint64_t before = memory().references(digest);
    if (before > 0 && before <= count && own.births_.contains(digest)) lost.push_back(digest);
  }
  const Csn csn = MemoryStore::commit(std::move(own.inner_), root, replay_from);
  for (const Digest& digest : lost) memory().damage(digest);
  return csn;
}

OwnershipWorld::OwnershipWorld(std::uint64_t seed, MemoryStore& store, const OwnershipRules& rules)
    : random_(seed), store_(store), rules_(rules) {
  reopen();
  create();
}

/// What a restart of the process leaves: the store alone.
void OwnershipWorld::reopen() {
  catalog_.reset();
  cache_ = std::make_unique<NodeCache>(store_.objects(), 0);  // every read reaches the store
  catalog_ = load_catalog(store_, *cache_, {kTinyNodes, &rules_, 3});
}

std::vector<VolumeId> OwnershipWorld::volumes() const {
  std::vector<VolumeId> out;
  for (const VolumeRow& row : catalog_->volumes(false)) out.push_back(row.id);
  return out;
}

void OwnershipWorld::run(int steps) {
  for (int i = 0; i < steps; ++i) {
    step();
    if (random(2) == 0) store_.reclaim();
    check();
  }
  delete_everything();
}

void OwnershipWorld::step() {
  const std::vector<VolumeId> heads = volumes();
  const std::vector<SnapshotRow> snapshots = catalog_->snapshots();
  const std::uint64_t dice = random(100);
  if (dice < 8) {
    toggle(pick(heads));
  } else if (dice < 50) {
    const VolumeId volume = pick(heads);
    write(volume);
    if (random(10) < 8) commit(volume);
  } else if (dice < 62) {
    snapshot(pick(heads));
  } else if (dice < 70) {
    if (!snapshots.empty() && heads.size() < 6) clone(pick(snapshots));
  } else if (dice < 82) {
    if (!snapshots.empty()) remove_snapshot(pick(snapshots));
  } else if (dice < 85) {
    if (heads.size() > 1) remove_volume(pick(heads));
  } else if (dice < 89) {
    if (!snapshots.empty()) roll_back(pick(heads), pick(snapshots));
  } else if (dice < 97) {
    delete_step(1 + random(5));
  } else if (dice < 98) {
    if (heads.size() < 6) create();
  } else {
    reopen();
  }
}

// ---- operations --------------------------------------------------------------------------------

/// A volume without relatives.
void OwnershipWorld::create() {
  auto change = catalog_->begin();
  const VolumeRow row = change->create_volume("v" + std::to_string(++names_), 0);
  change->finish(store_.journal().end());
  contents_[row.head];
  overlays_[row.id];
}

void OwnershipWorld::write(VolumeId volume) {
  for (std::uint64_t i = 1 + random(6); i > 0; --i) {
    const std::uint64_t key = random(kKeys);
    const bool remove = random(10) < 3;
    overlays_[volume][key] =
        remove ? std::nullopt : std::optional("value " + std::to_string(random(kValues)));
  }
}

/// A record comes and goes again: nodes return to equal content with a later birth.
void OwnershipWorld::toggle(VolumeId volume) {
  commit(volume);
  const std::uint64_t key = kKeys + random(3);
  overlays_[volume][key] = "value 0";
  commit(volume);
  overlays_[volume][key] = std::nullopt;
  commit(volume);
}

void OwnershipWorld::commit(Catalog::Change& change, VolumeId volume) {
  Overlay& overlay = overlays_[volume];
  if (overlay.empty()) return;
  const NodeId head = change.volume(volume)->head;
  const std::optional<Ptr> root = change.node(head).root;
  Content& content = contents_[head];
  const Txg txg = change.next_txg(head);
  std::vector<Change> changes;
  for (const auto& [key, value] : overlay) {
    if (!value) {
      content.erase(key);
      changes.push_back({region_key(key), std::nullopt});
      continue;
    }
    // Equal content is either noticed, and then the record stays, or stored as a new birth.
    const bool same = content.contains(key) && content[key] == *value && random(2) == 0;
    content[key] = *value;
    if (same) {
      changes.push_back(
          {region_key(key), Tree(*cache_, root).find(region_key(key), Wait::kAllowed)});
      continue;
    }
    const auto stored = change.batch().put(as_bytes(*value), ObjectKind::kData);
    RegionRecord record;
    record.base = Ptr{stored.digest, stored.stored_bytes, stored.data_bytes, txg};
    changes.push_back({region_key(key), record.encode()});
  }
  change.set_root(head, edit_tree(*cache_, change.batch(), root, changes,
                                  {txg, change.parent_txg(head), kTinyNodes, &rules_}));
  overlay.clear();
}

void OwnershipWorld::commit(VolumeId volume) {
  auto change = catalog_->begin();
  commit(*change, volume);
  change->finish(store_.journal().end());
}

void OwnershipWorld::snapshot(VolumeId volume) {
  auto change = catalog_->begin();
  commit(*change, volume);
  const SnapshotRow row = change->create_snapshot(volume, "s" + std::to_string(++names_), 0);
  change->finish(store_.journal().end());
  contents_[row.node] = contents_[catalog_->volume(volume)->head];
}

void OwnershipWorld::clone(const SnapshotRow& source) {
  auto change = catalog_->begin();
  const VolumeRow row = change->clone_volume("v" + std::to_string(++names_), source, 0);
  change->finish(store_.journal().end());
  contents_[row.head] = contents_[source.node];
  overlays_[row.id];
}

void OwnershipWorld::remove_snapshot(const SnapshotRow& row) {
  auto change = catalog_->begin();
  change->delete_snapshot(row);
  change->finish(store_.journal().end());
  contents_.erase(row.node);
}

void OwnershipWorld::remove_volume(VolumeId volume) {
  auto change = catalog_->begin();
  const NodeId head = change->volume(volume)->head;
  for (const SnapshotRow& row : catalog_->snapshots(volume)) {
    change->delete_snapshot(row);
    contents_.erase(row.node);
  }
  change->delete_volume(volume);
  change->finish(store_.journal().end());
  contents_.erase(head);
  overlays_.erase(volume);
}

void OwnershipWorld::roll_back(VolumeId volume, const SnapshotRow& to) {
  auto change = catalog_->begin();
  const NodeId head = change->volume(volume)->head;
  if (change->node(head).family != change->node(to.node).family) return;
  if (random(2) == 0) commit(*change, volume);
  change->rollback(volume, to);
  change->finish(store_.journal().end());
  contents_[catalog_->volume(volume)->head] = contents_[to.node];
  overlays_[volume].clear();
}

bool OwnershipWorld::delete_step(std::size_t max_releases) {
  const std::size_t before = catalog_->pending_deletions();
  const bool worked = catalog_->delete_step(max_releases, store_.journal().end());
  require(worked || before == 0, "a deletion is stuck");
  return worked;
}

void OwnershipWorld::delete_everything() {
  for (const VolumeId volume : volumes()) {
    remove_volume(volume);
    check();
  }
  require(catalog_->snapshots().empty(), "snapshots without a volume are left");
  while (delete_step(1 + random(50))) {
  }
  check_counts();
  std::map<Digest, std::uint64_t> catalog_nodes;
  count_owned(decode_root(store_.root()), 0, catalog_nodes);
  require(store_.memory().references() == catalog_nodes, "something is left of what was deleted");
}

// ---- checks ------------------------------------------------------------------------------------

void OwnershipWorld::check() {
  for (const VolumeRow& row : catalog_->volumes(false))
    check_content(row.head, contents_[row.head]);
  for (const SnapshotRow& row : catalog_->snapshots()) check_content(row.node, contents_[row.node]);
  check_counts();
}

void OwnershipWorld::check_content(NodeId node, const Content& want) {
  Content have;
  const Tree tree(*cache_, catalog_->node(node).root);
  tree.scan({}, {Ino{UINT64_MAX}, Kind::kLinkref, 0}, Wait::kAllowed,
            [&](const Key& key, ByteView value) {
              const Ptr ptr = *RegionRecord::decode(value).base;
              require(store_.memory().references(ptr.digest) > 0, "live data without a reference");
              const SharedBytes data = store_.objects().read(ptr.digest, Wait::kAllowed);
              have[to_integer(key.ino) - 1] = std::string(as_text(*data));
              return true;
            });
  require(have == want, "the content is not what was written");
}

void OwnershipWorld::check_counts() {
  const std::map<Digest, std::uint64_t> have = store_.memory().references();
  std::map<Digest, std::uint64_t> want;
  catalog_->count_births([&](const Digest& digest) { ++want[digest]; });
  require(want == have, "the store counts other births than the trees hold");
  if (catalog_->pending_deletions() == 0) {
    require(recount_lineage() == have, "count_births is wrong");
  }
}

/// The same by other code: every tree walked to its end, with nothing pending.
std::map<Digest, std::uint64_t> OwnershipWorld::recount_lineage() {
  std::map<Digest, std::uint64_t> out;
  const CatalogState state = CatalogState::load(Tree(*cache_, decode_root(store_.root())));
  for (const auto& [id, node] : state.nodes()) {
    const Txg lo = node.parent ? state.nodes().at(*node.parent).txg : 0;
    if (node.root) count_owned(*node.root, lo, out);
  }
  count_owned(decode_root(store_.root()), 0, out);
  return out;
}

void OwnershipWorld::count_owned(const Ptr& ptr, Txg lo, std::map<Digest, std::uint64_t>& out) {
  if (ptr.birth > lo) ++out[ptr.digest];
  const std::shared_ptr<const Node> node = cache_->read(ptr.digest, Wait::kAllowed);
  for (std::size_t i = 0; i < node->count(); ++i) {
    if (!node->is_leaf()) {
      count_owned(node->child(i), lo, out);
    } else if (node->key(i).kind == Kind::kRegion) {
      const Ptr data = *RegionRecord::decode(node->value(i)).base;
      if (data.birth > lo) ++out[data.digest];
    }
  }
}

}  // namespace varve::test
