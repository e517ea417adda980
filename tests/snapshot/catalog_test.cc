// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>

#include "snapshot/catalog_impl.h"
#include "snapshot/diff.h"
#include "store/base/error.h"
#include "tests/snapshot/tree_support.h"
#include "tests/support/memory_store.h"

namespace varve::test {
namespace {

constexpr CatalogOptions kSmall{kSmallNodes, nullptr, 8};

/// A store with its catalog, as one process has it.
class CatalogWorld {
 public:
  CatalogWorld() : store_(std::make_unique<MemoryStore>()) { open(); }

  void open() {
    catalog_.reset();
    cache_ = std::make_unique<NodeCache>(store_->objects(), 1 << 20);
    catalog_ = load_catalog(*store_, *cache_, kSmall);
  }
  void crash() {
    auto next = store_->crash();
    catalog_.reset();
    store_ = std::move(next);
    open();
  }
  Catalog* operator->() { return catalog_.get(); }
  Lsn end() { return store_->journal().end(); }

  /// Runs `body` in one change.
  template <class Body>
  auto change(Body&& body) {
    auto staged = catalog_->begin();
    if constexpr (std::is_void_v<decltype(body(*staged))>) {
      body(*staged);
      staged->finish(end());
    } else {
      auto out = body(*staged);
      staged->finish(end());
      return out;
    }
  }
  VolumeRow create(const std::string& name) {
    return change([&](auto& c) { return c.create_volume(name, 7); });
  }
  SnapshotRow snapshot(const VolumeRow& volume, const std::string& name) {
    return change([&](auto& c) { return c.create_snapshot(volume.id, name, 8); });
  }
  VolumeRow clone(const std::string& name, const SnapshotRow& source) {
    return change([&](auto& c) { return c.clone_volume(name, source, 9); });
  }
  void drop(const SnapshotRow& row) {
    change([&](auto& c) { c.delete_snapshot(row); });
  }
  /// Stores regions first .. last - 1 of the volume's head with contents that begin with `text`.
  void write(const VolumeRow& volume, std::uint64_t first, std::uint64_t last,
             const std::string& text) {
    change([&](Catalog::Change& c) {
      const Txg txg = c.next_txg(volume.head);
      std::vector<Change> changes;
      for (std::uint64_t i = first; i < last; ++i) {
        const auto stored = c.batch().put(as_bytes(text + std::to_string(i)), ObjectKind::kData);
        changes.push_back({key_of(i + 1, Kind::kRegion), region_of(ptr_of(stored, txg))});
      }
      c.set_root(volume.head, edit_tree(*cache_, c.batch(), c.node(volume.head).root, changes,
                                        {txg, c.parent_txg(volume.head), kSmallNodes, nullptr}));
    });
  }
  std::size_t records(NodeId node) {
    std::size_t count = 0;
    Tree(*cache_, catalog_->node(node).root)
        .scan({}, key_of(UINT64_MAX), Wait::kAllowed, [&](const Key& key, ByteView value) {
          visit_pointers(key.kind, value, [&](const Ptr& ptr) {
            store_->objects().read(ptr.digest, Wait::kAllowed);
          });
          ++count;
          return true;
        });
    return count;
  }
  void delete_all_steps(std::size_t releases = 1000) {
    while (catalog_->delete_step(releases, end())) {
    }
  }
  void expect_exact_counts() {
    std::map<Digest, std::uint64_t> want;
    catalog_->count_births([&](const Digest& digest) { ++want[digest]; });
    EXPECT_EQ(want, store_->memory().references());
  }

  std::unique_ptr<MemoryStore> store_;
  std::unique_ptr<NodeCache> cache_;
  std::unique_ptr<Catalog> catalog_;
};

template <class Body>
void expect_user_error(int code, const std::string& text, Body&& body) {
  try {
    body();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_EQ(std::string(error.what()), text);
  }
}

TEST(Catalog, OfANewStoreIsEmpty) {
  CatalogWorld world;
  EXPECT_TRUE(world->volumes(false).empty());
  EXPECT_TRUE(world->snapshots().empty());
  EXPECT_EQ(world->pending_deletions(), 0u);
  EXPECT_FALSE(world->delete_step(10, world.end()));
  world.open();
  EXPECT_FALSE(world->volume("none"));
}

TEST(Catalog, KeepsEveryFieldOverARestart) {
  CatalogWorld world;
  VolumeRow volume = world.create("data");
  volume.labels = {{"owner", "me"}, {"tier", "1"}};
  volume.protect = true;
  volume.committed_lsn = 1234;
  world.change([&](auto& c) { c.update_volume(volume); });
  world.change([&](Catalog::Change& c) {
    const Txg txg = c.next_txg(volume.head);
    HeadInfoRecord info;
    info.logical_bytes = 5000;
    info.quota_bytes = 70000;
    const std::vector<Change> changes{{{kHeadIno, Kind::kHeadInfo, 0}, info.encode()}};
    c.set_root(volume.head, edit_tree(*world.cache_, c.batch(), std::nullopt, changes, {txg, 0}));
  });
  SnapshotRow snapshot = world.snapshot(volume, "first");
  EXPECT_EQ(snapshot.logical_bytes, 5000u);
  EXPECT_EQ(snapshot.quota_bytes, 70000u);
  snapshot.labels = {{"keep", "yes"}};
  world.change([&](auto& c) { c.update_snapshot(snapshot); });
  const VolumeRow clone = world.clone("copy", snapshot);

  world.open();
  const auto row = world->volume("data");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->id, volume.id);
  EXPECT_EQ(row->head, volume.head);
  EXPECT_EQ(row->created_ns, 7);
  EXPECT_EQ(row->labels, volume.labels);
  EXPECT_TRUE(row->protect);
  EXPECT_EQ(row->committed_lsn, 1234u);
  EXPECT_EQ(row->source, "");
  EXPECT_EQ(world->volume(clone.id)->source, "data@first");
  const auto found = world->snapshot(volume.id, "first");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->node, snapshot.node);
  EXPECT_EQ(found->created_ns, 8);
  EXPECT_EQ(found->labels, snapshot.labels);
  EXPECT_EQ(found->logical_bytes, 5000u);
  EXPECT_EQ(world->node(clone.head).parent, snapshot.node);
  EXPECT_EQ(world->node(volume.head).parent, snapshot.node);
  EXPECT_EQ(world->node(snapshot.node).children, 2u);
  world.expect_exact_counts();
}

TEST(Catalog, ListsVolumesByNameAndSnapshotsByAge) {
  CatalogWorld world;
  const VolumeRow b = world.create("b");
  world.create("a");
  for (const char* name : {"z", "y", "x"}) world.snapshot(b, name);
  std::vector<std::string> names;
  for (const VolumeRow& row : world->volumes(false)) names.push_back(row.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
  names.clear();
  for (const SnapshotRow& row : world->snapshots(b.id)) names.push_back(row.name);
  EXPECT_EQ(names, (std::vector<std::string>{"z", "y", "x"}));
  EXPECT_EQ(world->snapshots().size(), 3u);
}

TEST(Catalog, RefusesNamesThatAreTakenOrBad) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  world.snapshot(volume, "one");
  auto change = world->begin();
  expect_user_error(EEXIST, "A volume named data already exists. Choose a different volume name",
                    [&] { change->create_volume("data", 0); });
  expect_user_error(EEXIST, "A snapshot named one already exists. Choose a different snapshot name",
                    [&] { change->create_snapshot(volume.id, "one", 0); });
  change->create_volume("fresh", 0);
  expect_user_error(EEXIST, "A volume named fresh already exists. Choose a different volume name",
                    [&] { change->create_volume("fresh", 0); });
  change->create_snapshot(volume.id, "two", 0);
  EXPECT_THROW(change->create_snapshot(volume.id, "two", 0), UserError);
  for (const std::string& name :
       {std::string(), std::string("-x"), std::string("a/b"), std::string("a b"),
        std::string(256, 'a'), std::string("a\0b", 3)}) {
    EXPECT_THROW(change->create_volume(name, 0), UserError) << name;
    EXPECT_THROW(change->create_snapshot(volume.id, name, 0), UserError) << name;
  }
  change->finish(world.end());
  EXPECT_TRUE(world->volume("fresh"));
  EXPECT_EQ(world->snapshots(volume.id).size(), 2u);
}

TEST(Catalog, KeepsTrashedVolumesOutOfTheNames) {
  CatalogWorld world;
  VolumeRow old = world.create("data");
  old.trashed_ns = 99;
  world.change([&](auto& c) { c.update_volume(old); });
  EXPECT_FALSE(world->volume("data"));
  EXPECT_EQ(world->volumes(true).size(), 1u);
  const VolumeRow fresh = world.create("data");
  EXPECT_NE(fresh.id, old.id);
  old.trashed_ns = 0;
  auto change = world->begin();
  EXPECT_THROW(change->update_volume(old), UserError);
  old.name = "restored";
  change->update_volume(old);
  change->finish(world.end());
  world.open();
  EXPECT_EQ(world->volume("restored")->id, old.id);
  EXPECT_EQ(world->volume("data")->id, fresh.id);
}

TEST(Catalog, RefusesLabelsThatAreTooLong) {
  CatalogWorld world;
  VolumeRow row = world.create("data");
  row.labels["key"] = std::string(kMaxLabelBytes, 'x');
  auto change = world->begin();
  EXPECT_THROW(change->update_volume(row), UserError);
  row.labels["key"] = std::string(kMaxLabelBytes - 100, 'x');
  change->update_volume(row);
  change->finish(world.end());
  world.open();
  EXPECT_EQ(world->volume("data")->labels, row.labels);
}

TEST(Catalog, ShowsNothingOfAChangeBeforeItsEnd) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  {
    auto change = world->begin();
    change->create_volume("other", 0);
    change->create_snapshot(volume.id, "one", 0);
    EXPECT_FALSE(world->volume("other"));
    EXPECT_TRUE(world->snapshots().empty());
  }
  EXPECT_FALSE(world->volume("other"));
  EXPECT_EQ(world->node(volume.head).parent, std::nullopt);
  world.store_->fail_next_commit(ENOSPC);
  EXPECT_THROW(world.create("third"), StoreError);
  EXPECT_FALSE(world->volume("third"));
  world.create("fourth");
  EXPECT_TRUE(world->volume("fourth"));
  world.expect_exact_counts();
}

TEST(Catalog, SnapshotsAndClonesShareAllData) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  world.write(volume, 0, 300, "old");
  const std::uint64_t stored = world.store_->memory().contents_stored();
  const SnapshotRow snapshot = world.snapshot(volume, "one");
  const VolumeRow clone = world.clone("copy", snapshot);
  EXPECT_LE(world.store_->memory().contents_stored() - stored, 12u);  // catalog nodes only
  world.write(clone, 0, 10, "new");
  EXPECT_EQ(world.records(snapshot.node), 300u);
  EXPECT_EQ(world.records(clone.head), 300u);
  std::size_t differences = 0;
  diff_records(Tree(*world.cache_, world->node(snapshot.node).root),
               Tree(*world.cache_, world->node(clone.head).root),
               [&](const Key&, const auto&, const auto&) { ++differences; });
  EXPECT_EQ(differences, 10u);
  world.expect_exact_counts();
}

TEST(Catalog, GivesSpaceBackWhenASnapshotIsDeleted) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  world.write(volume, 0, 200, "old");
  const SnapshotRow snapshot = world.snapshot(volume, "one");
  world.write(volume, 0, 150, "new");
  const std::uint64_t with_both = world.store_->memory().live_bytes();
  world.drop(snapshot);
  EXPECT_FALSE(world->snapshot(volume.id, "one"));
  EXPECT_EQ(world->pending_deletions(), 1u);
  world.delete_all_steps();
  EXPECT_EQ(world->pending_deletions(), 0u);
  world.expect_exact_counts();
  EXPECT_LT(world.store_->memory().live_bytes(), with_both * 3 / 4);
  world.store_->reclaim();
  EXPECT_EQ(world.records(volume.head), 200u);
}

TEST(Catalog, HidesABranchPointUntilOneChildIsLeft) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  world.write(volume, 0, 100, "old");
  const SnapshotRow snapshot = world.snapshot(volume, "one");
  const VolumeRow clone = world.clone("copy", snapshot);
  world.write(volume, 0, 50, "new");
  world.drop(snapshot);
  EXPECT_EQ(world->pending_deletions(), 0u);
  EXPECT_FALSE(world->snapshot(volume.id, "one"));
  EXPECT_TRUE(world->snapshots(volume.id).empty());
  EXPECT_TRUE(world->node(snapshot.node).hidden);
  world.snapshot(volume, "one");  // the name is free again
  world.open();
  EXPECT_TRUE(world->node(snapshot.node).hidden);
  auto change = world->begin();
  EXPECT_THROW(change->delete_snapshot(snapshot), UserError);
  EXPECT_THROW(change->clone_volume("x", snapshot, 0), UserError);
  change->delete_volume(clone.id);
  change->finish(world.end());
  EXPECT_EQ(world->pending_deletions(), 1u);  // the hidden one; the clone itself owned nothing
  world.delete_all_steps();
  world.expect_exact_counts();
  world.store_->reclaim();
  EXPECT_EQ(world.records(volume.head), 100u);
}

TEST(Catalog, RefusesToDeleteAVolumeWithSnapshots) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  const SnapshotRow one = world.snapshot(volume, "one");
  world.snapshot(volume, "two");
  auto change = world->begin();
  expect_user_error(EBUSY, "Volume(data) has (2) snapshots",
                    [&] { change->delete_volume(volume.id); });
  change->delete_snapshot(one);
  expect_user_error(EBUSY, "Volume(data) has (1) snapshots",
                    [&] { change->delete_volume(volume.id); });
}

TEST(Catalog, RollsBackAndKeepsLaterSnapshots) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  world.write(volume, 0, 10, "a");
  const SnapshotRow one = world.snapshot(volume, "one");
  world.write(volume, 10, 20, "b");
  const SnapshotRow two = world.snapshot(volume, "two");
  world.write(volume, 20, 30, "c");
  world.change([&](auto& c) { c.rollback(volume.id, one); });
  EXPECT_EQ(world.records(volume.head), 10u);
  EXPECT_EQ(world->snapshots(volume.id).size(), 2u);
  world.delete_all_steps();
  world.expect_exact_counts();
  world.store_->reclaim();
  EXPECT_EQ(world.records(two.node), 20u);
  world.change([&](auto& c) { c.rollback(volume.id, two); });
  EXPECT_EQ(world.records(volume.head), 20u);
  world.delete_all_steps();
  world.expect_exact_counts();
}

TEST(Catalog, RefusesToRollBackToAnotherFamily) {
  CatalogWorld world;
  const VolumeRow a = world.create("a");
  const SnapshotRow other = world.snapshot(world.create("b"), "one");
  auto change = world->begin();
  EXPECT_THROW(change->rollback(a.id, other), UserError);
}

TEST(Catalog, LeavesNothingWhenAllIsDeleted) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  world.write(volume, 0, 100, "a");
  const SnapshotRow snapshot = world.snapshot(volume, "one");
  world.write(volume, 50, 150, "b");
  world.change([&](auto& c) {
    c.delete_snapshot(snapshot);
    c.delete_volume(volume.id);
  });
  world.delete_all_steps();
  EXPECT_EQ(world.store_->memory().references().size(), 1u);  // the catalog's only node
  world.open();
  EXPECT_TRUE(world->volumes(false).empty());
}

/// A head and a deleted snapshot whose space is to be given back, in a deep tree.
void prepare_large_deletion(CatalogWorld& world, VolumeRow& volume) {
  volume = world.create("data");
  world.write(volume, 0, 400, "same");  // the contents repeat, so counts above one occur
  world.write(volume, 100, 300, "same");
  const SnapshotRow snapshot = world.snapshot(volume, "one");
  world.write(volume, 50, 350, "same");
  world.drop(snapshot);
}

TEST(Catalog, BoundsEachStepOfADeletion) {
  CatalogWorld world;
  VolumeRow volume;
  prepare_large_deletion(world, volume);
  for (;;) {
    std::uint64_t before = 0;
    for (const auto& [digest, count] : world.store_->memory().references()) before += count;
    if (!world->delete_step(3, world.end())) break;
    std::uint64_t after = 0;
    for (const auto& [digest, count] : world.store_->memory().references()) after += count;
    EXPECT_LE(before, after + 3 + 4);  // and the catalog's own nodes
    world.expect_exact_counts();
  }
}

TEST(Catalog, ContinuesADeletionAfterAKillAtEachCommit) {
  for (const std::size_t releases : {1u, 2u, 7u, 40u}) {
    SCOPED_TRACE("releases a step: " + std::to_string(releases));
    CatalogWorld world;
    VolumeRow volume;
    prepare_large_deletion(world, volume);
    int steps = 0;
    while (world->delete_step(releases, world.end())) {
      ++steps;
      world.store_->reclaim();
      world.crash();
      world.store_->reclaim();
      if (steps % 16 == 0) world.expect_exact_counts();
    }
    EXPECT_GT(steps, 5);
    EXPECT_EQ(world->pending_deletions(), 0u);
    world.expect_exact_counts();
    EXPECT_EQ(world.records(volume.head), 400u);
    world.change([&](auto& c) { c.delete_volume(volume.id); });
    world.delete_all_steps();
    EXPECT_EQ(world.store_->memory().references().size(), 1u);
  }
}

TEST(Catalog, ComparesWithTheChildAsItWasThen) {
  CatalogWorld world;
  VolumeRow volume;
  prepare_large_deletion(world, volume);
  int round = 0;
  while (world->delete_step(5, world.end())) {
    if (round++ < 20) world.write(volume, 0, 400, "round" + std::to_string(round));
    world.store_->reclaim();
  }
  world.expect_exact_counts();
  EXPECT_EQ(world.records(volume.head), 400u);
}

TEST(Catalog, GivesUpADeletionThatMeetsDamage) {
  CatalogWorld world;
  const VolumeRow volume = world.create("data");
  world.write(volume, 0, 400, "old");
  const SnapshotRow snapshot = world.snapshot(volume, "one");
  world.write(volume, 0, 400, "new");
  const Ptr root = *world->node(snapshot.node).root;
  const auto node = Node::decode(world.store_->objects().read(root.digest, Wait::kAllowed));
  world.store_->memory().damage(node->child(node->count() / 2).digest);
  world.drop(snapshot);
  const VolumeRow other = world.create("other");
  world.write(other, 0, 50, "x");
  world.change([&](auto& c) { c.delete_volume(other.id); });
  world.open();
  EXPECT_EQ(world->pending_deletions(), 2u);
  world.delete_all_steps();                   // ends, and the second deletion is done
  EXPECT_EQ(world->pending_deletions(), 1u);  // the damaged one stays
  EXPECT_EQ(world.records(volume.head), 400u);
  world.open();
  EXPECT_FALSE(world->delete_step(10, world.end()));
  EXPECT_EQ(world->pending_deletions(), 1u);
  // A recount leaves out what was given up; the counts of everything else agree.
  const std::uint64_t leaked = world.store_->memory().references().size();
  world.store_->set_references(
      [&](const auto& visit) { world->count_births([&](const Digest& d) { visit(d); }); });
  EXPECT_LT(world.store_->memory().references().size(), leaked);
  EXPECT_EQ(world.records(volume.head), 400u);
}

TEST(Catalog, CountsBirthsForAStoreWithoutItsIndex) {
  CatalogWorld world;
  VolumeRow volume;
  prepare_large_deletion(world, volume);
  world->delete_step(9, world.end());
  const auto references = world.store_->memory().references();
  world.store_->lose_index();
  world.crash();
  ASSERT_TRUE(world.store_->needs_references());
  world.store_->set_references(
      [&](const auto& visit) { world->count_births([&](const Digest& d) { visit(d); }); });
  EXPECT_EQ(world.store_->memory().references(), references);
  world.delete_all_steps(10);
  world.expect_exact_counts();
  EXPECT_EQ(world.records(volume.head), 400u);
}

TEST(Catalog, WritesAFewNodesForOneRowOfMany) {
  MemoryStore store;
  NodeCache cache(store.objects(), 8 << 20);
  const auto catalog = Catalog::load(store, cache);
  VolumeRow volume;
  {
    auto change = catalog->begin();
    volume = change->create_volume("data", 0);
    for (int i = 0; i < 3000; ++i) change->create_snapshot(volume.id, "s" + std::to_string(i), i);
    change->finish(store.journal().end());
  }
  const std::uint64_t before = store.memory().contents_stored();
  auto change = catalog->begin();
  change->create_snapshot(volume.id, "last", 0);
  change->finish(store.journal().end());
  EXPECT_LE(store.memory().contents_stored() - before, 8u);
  EXPECT_EQ(catalog->snapshots(volume.id).size(), 3001u);
  EXPECT_EQ(Catalog::load(store, cache)->snapshots(volume.id).size(), 3001u);
}

TEST(Catalog, RefusesRowsThatContradictEachOther) {
  const auto load_with = [](const Edits& extra) {
    MemoryStore store;
    NodeCache cache(store.objects(), 1 << 20);
    auto batch = store.begin();
    FamilyRow family;
    family.last_txg = 5;
    LineageNode head;
    head.family = FamilyId{1};
    head.is_head = true;
    VolumeRow volume;
    volume.name = "data";
    volume.head = NodeId{1};
    CountersRow counters{2, 9, 2, 1};
    Edits rows{{row_key(RowType::kCounters, 0), encode_row(counters)},
               {row_key(RowType::kFamily, 1), encode_row(family)},
               {row_key(RowType::kNode, 1), encode_row(head)},
               {row_key(RowType::kVolume, 1), encode_row(volume)}};
    for (const auto& [key, value] : extra) rows[key] = value;
    const auto root = edit_tree(cache, *batch, std::nullopt, changes_of(rows), {1, 0});
    store.commit(std::move(batch), encode_root(*root), store.journal().end());
    Catalog::load(store, cache);
  };
  EXPECT_NO_THROW(load_with({}));
  VolumeRow twin;
  twin.name = "data";
  twin.head = NodeId{1};
  EXPECT_THROW(load_with({{row_key(RowType::kVolume, 2), encode_row(twin)}}), CorruptionError);
  twin.name = "other";
  twin.head = NodeId{7};
  EXPECT_THROW(load_with({{row_key(RowType::kVolume, 2), encode_row(twin)}}), CorruptionError);
  LineageNode node;
  node.family = FamilyId{1};
  node.txg = 3;
  node.parent = NodeId{2};  // itself
  EXPECT_THROW(load_with({{row_key(RowType::kNode, 2), encode_row(node)}}), CorruptionError);
  node.parent = NodeId{1};  // a head
  EXPECT_THROW(load_with({{row_key(RowType::kNode, 2), encode_row(node)}}), CorruptionError);
  node.parent.reset();
  node.txg = 6;  // later than the family's last
  EXPECT_THROW(load_with({{row_key(RowType::kNode, 2), encode_row(node)}}), CorruptionError);
  node.txg = 3;
  EXPECT_NO_THROW(load_with({{row_key(RowType::kNode, 2), encode_row(node)}}));
  node.family = FamilyId{3};
  EXPECT_THROW(load_with({{row_key(RowType::kNode, 2), encode_row(node)}}), CorruptionError);
  EXPECT_THROW(load_with({{row_key(RowType{9}, 1), bytes_of("\x01")}}), CorruptionError);
  EXPECT_THROW(load_with({{key_of(2, Kind::kInode), bytes_of("\x01")}}), CorruptionError);
}

TEST(Catalog, RefusesAMalformedRoot) {
  MemoryStore store;
  NodeCache cache(store.objects(), 1 << 20);
  store.commit(store.begin(), as_bytes("\x02nonsense"), store.journal().end());
  EXPECT_THROW(Catalog::load(store, cache), CorruptionError);
}

}  // namespace
}  // namespace varve::test
