// SPDX-License-Identifier: Apache-2.0
#include "fs/repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

#include "tests/support/repository_world.h"

namespace varve::test {
namespace {

using testing::HasSubstr;

class RepositoryTest : public testing::Test {
 protected:
  VolumeInfo create(const std::string& name, std::uint64_t quota = 0) {
    Repository::CreateVolume request;
    request.name = name;
    request.quota_bytes = quota;
    return world_->create_volume(request);
  }
  VolumeInfo clone(const std::string& name, const std::string& source) {
    Repository::CreateVolume request;
    request.name = name;
    return world_->clone_volume(request, source);
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const VolumeInfo& info : world_->volumes()) out.push_back(info.row.name);
    return out;
  }
  std::vector<std::string> snapshot_names(const std::string& volume) {
    std::vector<std::string> out;
    for (const SnapshotRow& row : world_->snapshots(volume)) out.push_back(row.name);
    return out;
  }
  Bytes in_snapshot(const std::string& reference, const std::string& file) {
    return read_file(*world_->attach_snapshot(reference), file);
  }
  void expect_exact_references() {
    EXPECT_EQ(world_.store().memory().references(), world_.counted());
  }

  RepositoryWorld world_;
};

// ---- volumes -----------------------------------------------------------------------------------

TEST_F(RepositoryTest, CreatesVolumesWithARootOfTheirOwn) {
  Repository::CreateVolume request;
  request.name = "a";
  request.quota_bytes = 1 << 30;
  request.root_mode = 0700;
  request.root_uid = 5;
  request.labels = {{"k", "v"}};
  const VolumeInfo info = world_->create_volume(request);
  EXPECT_EQ(info.quota_bytes, 1u << 30);
  EXPECT_EQ(info.inodes, 1u);
  EXPECT_EQ(info.row.labels.at("k"), "v");
  EXPECT_EQ(failure_of([&] { create("a"); }).first, EEXIST);
  world_.crash();
  const auto volume = world_->attach("a");
  EXPECT_EQ(volume->getattr(kRootIno).mode & 07777, 0700u);
  EXPECT_EQ(volume->getattr(kRootIno).uid, 5u);
  EXPECT_TRUE(world_->volume("a").attached);
}

TEST_F(RepositoryTest, FindsGeneratedNamesByPrefix) {
  const std::string name = create("").row.name;
  EXPECT_EQ(name.size(), 64u);
  EXPECT_EQ(world_->volume(name.substr(0, 8)).row.name, name);
  EXPECT_EQ(failure_of([&] { world_->volume(name.substr(0, 3)); }).first, ENOENT);
  create("abcdefgh");
  EXPECT_EQ(failure_of([&] { world_->volume("abcd"); }).first, ENOENT);
}

TEST_F(RepositoryTest, AttachesOneWriterAtATime) {
  create("a");
  auto volume = world_->attach("a");
  EXPECT_EQ(failure_of([&] { world_->attach("a"); }).first, EBUSY);
  write_file(*volume, "f", pattern(10, 1));
  EXPECT_THAT(failure_of([&] { world_->remove_volume("a"); }),
              testing::Pair(EBUSY, "Volume a is mounted; unmount it first"));
  volume.reset();
  volume = world_->attach("a");
  EXPECT_EQ(read_file(*volume, "f"), pattern(10, 1));
}

TEST_F(RepositoryTest, CommitsADetachedVolume) {
  create("a");
  write_file(*world_->attach("a"), "f", pattern(100'000, 1));
  world_.crash(MemoryStore::Cut::kPower);
  EXPECT_EQ(read_file(*world_->attach("a"), "f"), pattern(100'000, 1));
}

TEST_F(RepositoryTest, SnapshotsGoToTheTrashWithTheirVolumeAndComeBack) {
  create("a");
  write_file(*world_->attach("a"), "f", pattern(100'000, 1));
  world_->create_snapshot("a", "s", {});
  world_->create_snapshot("a", "t", {});
  EXPECT_NE(world_->volume("a").root_digest, "");
  world_->remove_volume("a", Repository::WithSnapshots::kToo);
  EXPECT_THAT(world_->snapshots(""), testing::IsEmpty());
  EXPECT_EQ(failure_of([&] { world_->snapshot("s"); }).first, ENOENT);
  create("a");  // the name is free
  world_->create_snapshot("a", "s", {});
  world_->remove_volume("a", Repository::WithSnapshots::kToo);
  world_.crash();
  world_->restore_volume("a");
  EXPECT_EQ(world_->snapshots("a").size(), 1u);
  world_->remove_volume("a", Repository::WithSnapshots::kToo);
  EXPECT_EQ(world_->purge_trash(std::numeric_limits<std::int64_t>::max()), 2u);
  EXPECT_THAT(world_->trash(), testing::IsEmpty());
  EXPECT_TRUE(world_->fsck().problems.empty());
}

TEST_F(RepositoryTest, MovesRemovedVolumesToTheTrashAndBack) {
  create("a");
  write_file(*world_->attach("a"), "f", pattern(100'000, 1));
  world_->set_protect("a", true);
  EXPECT_EQ(failure_of([&] { world_->remove_volume("a"); }).first, EBUSY);
  world_->set_protect("a", false);
  world_->create_snapshot("a", "s", {});
  EXPECT_EQ(failure_of([&] { world_->remove_volume("a"); }),
            std::make_pair(EBUSY, std::string("Volume(a) has (1) snapshots")));
  world_->remove_snapshot("a@s");
  world_->remove_volume("a");
  EXPECT_THAT(names(), testing::IsEmpty());
  EXPECT_EQ(failure_of([&] { world_->attach("a"); }).first, ENOENT);
  create("a");
  EXPECT_EQ(failure_of([&] { world_->restore_volume("a"); }).first, EEXIST);
  world_->remove_volume("a");
  world_->restore_volume("a");  // the newest of the two
  EXPECT_EQ(world_->volume("a").inodes, 1u);
  world_->remove_volume("a");
  ASSERT_EQ(world_->trash().size(), 2u);
  EXPECT_EQ(world_->purge_trash(INT64_MAX), 2u);
  world_.settle();
  EXPECT_EQ(world_->pending_deletions(), 0u);
  expect_exact_references();
  EXPECT_LT(world_.store().memory().live_bytes(), 10'000u);
}

TEST_F(RepositoryTest, ChangesQuotaAndLabelsOfVolumesInUseOrNot) {
  create("a");
  world_->set_quota("a", 100 << 10);
  world_->set_labels("a", {{"x", "y"}});
  EXPECT_EQ(world_->volume("a").quota_bytes, 100u << 10);
  const auto volume = world_->attach("a");
  EXPECT_EQ(failure_of([&] { write_file(*volume, "f", pattern(200 << 10, 1)); }).first, EDQUOT);
  world_->set_quota("a", 0);
  write_file(*volume, "f", pattern(200 << 10, 1));
  EXPECT_EQ(world_->volume("a").quota_bytes, 0u);
  EXPECT_EQ(world_->volume("a").row.labels.at("x"), "y");
}

// ---- snapshots ---------------------------------------------------------------------------------

TEST_F(RepositoryTest, SnapshotsSeeEverythingBeforeAndNothingAfter) {
  create("a");
  const auto volume = world_->attach("a");
  write_file(*volume, "f", pattern(300'000, 1));
  write_file(*volume, "g", pattern(10, 2));
  const SnapshotRow row = world_->create_snapshot("a", "s", {{"k", "v"}});
  EXPECT_GE(row.logical_bytes, 300'000u);
  write_file(*volume, "f", pattern(300'000, 3));
  remove_file(*volume, "g");
  EXPECT_EQ(in_snapshot("a@s", "f"), pattern(300'000, 1));
  EXPECT_EQ(in_snapshot("s", "g"), pattern(10, 2));
  EXPECT_EQ(read_file(*volume, "f"), pattern(300'000, 3));
  const SnapshotRow found = world_->snapshot("s");
  EXPECT_EQ(found.labels.at("k"), "v");
  EXPECT_EQ(found.logical_bytes, row.logical_bytes);
  EXPECT_EQ(
      failure_of([&] { write_file(*world_->attach_snapshot("s"), "x", pattern(1, 1)); }).first,
      EROFS);
}

TEST_F(RepositoryTest, RefusesDuplicateSnapshotNamesPendingOrNot) {
  create("a");
  const auto volume = world_->attach("a");
  const auto again = [&] {
    return failure_of([&] { world_->create_snapshot("a", "test-snap", {}); });
  };
  world_->create_snapshot("a", "test-snap", {});
  const auto expected = std::make_pair(
      EEXIST, std::string("A snapshot named test-snap already exists. Choose a different snapshot "
                          "name"));
  EXPECT_EQ(again(), expected);
  world_->commit();
  EXPECT_EQ(again(), expected);
  EXPECT_EQ(failure_of([&] { world_->create_snapshot("a", "not/a name", {}); }).first, EINVAL);
  EXPECT_EQ(failure_of([&] {
              world_->create_snapshot("a", "s", {{"k", std::string(5000, 'x')}});
            }).first,
            E2BIG);
  world_->commit();
}

TEST_F(RepositoryTest, TakesManySnapshotsWithoutACommitInBetween) {
  create("a");
  const auto volume = world_->attach("a");
  for (unsigned i = 0; i < 6; ++i) {
    write_file(*volume, "f", pattern(1000 + i, i));
    world_->create_snapshot("a", "s" + std::to_string(i), {});
  }
  EXPECT_EQ(snapshot_names("a").size(), 6u);
  for (unsigned i = 0; i < 6; ++i) {
    EXPECT_EQ(in_snapshot("s" + std::to_string(i), "f"), pattern(1000 + i, i));
  }
}

TEST_F(RepositoryTest, NamesABareSnapshotOnlyWhileItIsUnique) {
  create("a");
  create("b");
  world_->create_snapshot("a", "s", {});
  EXPECT_EQ(world_->snapshot("s").name, "s");
  world_->create_snapshot("b", "s", {});
  EXPECT_EQ(failure_of([&] { world_->snapshot("s"); }).first, EINVAL);
  EXPECT_EQ(failure_of([&] { world_->snapshot("nope"); }).first, ENOENT);
  EXPECT_EQ(failure_of([&] { world_->snapshot("a@nope"); }).first, ENOENT);
  EXPECT_EQ(world_->snapshots("").size(), 2u);
}

TEST_F(RepositoryTest, ClonesAreIndependent) {
  create("a");
  auto volume = world_->attach("a");
  write_file(*volume, "f", pattern(200'000, 1));
  clone("b", "a");
  const auto other = world_->attach("b");
  EXPECT_EQ(read_file(*other, "f"), pattern(200'000, 1));
  write_file(*other, "f", pattern(10, 2), 5);
  write_file(*volume, "f", pattern(10, 3), 100);
  world_->commit();
  Bytes expected = pattern(200'000, 1);
  std::ranges::copy(pattern(10, 2), expected.begin() + 5);
  EXPECT_EQ(read_file(*other, "f"), expected);
  volume.reset();
  // The clone outlives its source and the snapshot it was made of.
  for (const std::string& name : snapshot_names("a")) world_->remove_snapshot("a@" + name);
  world_->remove_volume("a");
  world_->purge_trash(INT64_MAX);
  world_.settle();
  EXPECT_EQ(read_file(*other, "f"), expected);
  expect_exact_references();
}

TEST_F(RepositoryTest, RollsBackAVolumeInUseAndKeepsEverySnapshot) {
  create("a");
  const auto volume = world_->attach("a");
  write_file(*volume, "f", pattern(1000, 1));
  world_->create_snapshot("a", "s1", {});
  write_file(*volume, "f", pattern(3000, 2));
  write_file(*volume, "later", pattern(10, 4));
  const Ino later = volume->lookup(kRootIno, "later")->ino;
  world_->create_snapshot("a", "s2", {});
  write_file(*volume, "f", pattern(5000, 3));
  world_->set_quota("a", 1 << 20);
  std::shared_ptr<const VolumeChanges> changes;
  const SnapshotRow before = world_->rollback(
      "a", "s1", [&](const std::shared_ptr<const VolumeChanges>& given) { changes = given; });
  ASSERT_NE(changes, nullptr);
  EXPECT_TRUE(before.name.starts_with("before-rollback-")) << before.name;
  EXPECT_EQ(read_file(*volume, "f"), pattern(1000, 1));
  EXPECT_EQ(failure_of([&] { volume->getattr(later); }).first, ESTALE);
  EXPECT_EQ(world_->volume("a").quota_bytes, 1u << 20) << "a limit is not part of the content";
  write_file(*volume, "new", pattern(10, 5));
  EXPECT_GT(to_integer(volume->lookup(kRootIno, "new")->ino), to_integer(later))
      << "numbers are never used twice";
  EXPECT_EQ(in_snapshot("a@s2", "f"), pattern(3000, 2));
  EXPECT_EQ(in_snapshot("a@" + before.name, "f"), pattern(5000, 3));
  world_->rollback("a", "a@s2", {});
  EXPECT_EQ(read_file(*volume, "f"), pattern(3000, 2));
  world_->commit();
  world_.settle();
  expect_exact_references();
}

TEST_F(RepositoryTest, RollsBackAVolumeThatIsNotInUse) {
  create("a");
  write_file(*world_->attach("a"), "f", pattern(1000, 1));
  world_->create_snapshot("a", "s", {});
  write_file(*world_->attach("a"), "f", pattern(1000, 2));
  world_->rollback("a", "s", {});
  world_.crash();
  EXPECT_EQ(read_file(*world_->attach("a"), "f"), pattern(1000, 1));
  EXPECT_EQ(failure_of([&] { world_->rollback("a", "nope", {}); }).first, ENOENT);
  // A snapshot of a stranger is refused before the present state is kept.
  create("stranger");
  world_->create_snapshot("stranger", "t", {});
  const std::size_t kept = world_->snapshots("a").size();
  EXPECT_EQ(failure_of([&] { world_->rollback("a", "stranger@t", {}); }).first, EINVAL);
  EXPECT_EQ(world_->snapshots("a").size(), kept);
}

TEST_F(RepositoryTest, ComparesStates) {
  create("a");
  create("unrelated");
  const auto volume = world_->attach("a");
  write_file(*volume, "f", pattern(1000, 1));
  write_file(*volume, "g", pattern(1000, 1));
  world_->create_snapshot("a", "s", {});
  write_file(*volume, "f", pattern(1000, 2));
  volume->rename(kRootIno, "g", kRootIno, "h", RenameMode::kReplace);
  write_file(*volume, "new", pattern(1000, 2));
  const std::vector<PathChange> changes = world_->diff("a@s", "a");
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].path, "/f");
  EXPECT_EQ(changes[1].path, "/h");
  EXPECT_EQ(changes[1].old_path, "/g");
  EXPECT_EQ(changes[2].path, "/new");
  EXPECT_EQ(failure_of([&] { world_->diff("a", "unrelated"); }).first, EINVAL);
}

TEST_F(RepositoryTest, GrowsASnapshotByWhatChanges) {
  create("a");
  const auto volume = world_->attach("a");
  write_file(*volume, "db", pattern(16 << 20, 1));
  world_->create_snapshot("a", "s", {});
  world_->commit();
  const std::uint64_t before = world_.store().memory().live_bytes();
  std::uint32_t state = 1;
  for (unsigned i = 0; i < 1000; ++i) {
    state = state * 1664525u + 1013904223u;
    write_file(*volume, "db", pattern(8192, i), (state >> 8) % 2048 * 8192);
    if (i % 100 == 99) world_->commit();
  }
  world_.settle();
  // At most every 16 KiB block once: the file again, and some nodes.
  EXPECT_LE(world_.store().memory().live_bytes() - before, 18u << 20);
  expect_exact_references();
}

TEST_F(RepositoryTest, CutsWithoutTouchingWhatIsDirty) {
  create("a");
  const auto volume = world_->attach("a");
  const auto work_of_cut = [&](const std::string& name) {
    const std::uint64_t stored = world_.store().memory().contents_stored();
    const std::uint64_t reads = world_.store().memory().reads();
    const Csn csn = world_.store().csn();
    world_->create_snapshot("a", name, {});
    EXPECT_EQ(world_.store().csn(), csn) << "no commit";
    EXPECT_EQ(world_.store().memory().contents_stored(), stored);
    return world_.store().memory().reads() - reads;
  };
  write_file(*volume, "f", pattern(10, 1));
  const std::uint64_t small = work_of_cut("s1");
  world_->commit();
  write_file(*volume, "f", pattern(40 << 20, 2));
  EXPECT_EQ(work_of_cut("s2"), small);
}

// ---- crashes -----------------------------------------------------------------------------------

TEST_F(RepositoryTest, ReplaysWhatWasNotCommitted) {
  create("a");
  create("b");
  auto a = world_->attach("a");
  auto b = world_->attach("b");
  write_file(*a, "f", pattern(100'000, 1));
  write_file(*b, "f", pattern(500, 2));
  world_->commit();
  write_file(*a, "f", pattern(10, 3), 50'000);
  write_file(*b, "g", pattern(100'000, 4));
  remove_file(*b, "f");
  a.reset();  // commits a alone
  // The handle of b outlives its repository as in a killed process.
  auto survivor = world_.store().crash(MemoryStore::Cut::kKill);
  RepositoryOptions options = RepositoryWorld::default_options();
  RepositoryImpl after(std::move(survivor), options);
  EXPECT_EQ(read_file(*after.attach("b"), "g"), pattern(100'000, 4));
  EXPECT_EQ(as_text(read_file(*after.attach("b"), "f")), "(none)");
  Bytes expected = pattern(100'000, 1);
  std::ranges::copy(pattern(10, 3), expected.begin() + 50'000);
  EXPECT_EQ(read_file(*after.attach("a"), "f"), expected);
}

TEST_F(RepositoryTest, OpensWithAFullDiskAndCommitsWhenThereIsSpace) {
  create("a");
  create("b");
  for (const bool attached_first : {true, false}) {
    SCOPED_TRACE(attached_first);
    const std::string suffix = attached_first ? "1" : "2";
    auto a = world_->attach("a");
    auto b = world_->attach("b");
    for (int cut = 0; cut < 2; ++cut) {
      write_file(*a, "f", pattern(3000, cut + 1));
      world_->create_snapshot("a", "s" + std::to_string(cut) + suffix, {});
    }
    write_file(*a, "f", pattern(3000, 9));
    write_file(*b, "g", pattern(2000, 5));
    world_.crash(
        MemoryStore::Cut::kKill,
        [&] {
          a.reset();
          b.reset();
        },
        [](MemoryStore& store) { store.fail_next_commit(ENOSPC); });
    if (attached_first) {
      // Readable at once, and it takes changes.
      a = world_->attach("a");
      EXPECT_EQ(read_file(*a, "f"), pattern(3000, 9));
      write_file(*a, "later", pattern(10, 6));
      a.reset();
    }
    world_->commit();
    EXPECT_EQ(in_snapshot("a@s0" + suffix, "f"), pattern(3000, 1));
    EXPECT_EQ(in_snapshot("a@s1" + suffix, "f"), pattern(3000, 2));
    world_.crash();
    EXPECT_EQ(read_file(*world_->attach("a"), "f"), pattern(3000, 9));
    EXPECT_EQ(read_file(*world_->attach("a"), "later"), pattern(10, 6));
    EXPECT_EQ(read_file(*world_->attach("b"), "g"), pattern(2000, 5));
  }
  world_.settle();
  expect_exact_references();
}

TEST(Repository, ADamagedVolumeHoldsUpNoOther) {
  RepositoryOptions options = RepositoryWorld::default_options();
  options.node_cache_bytes = 0;  // every commit reads the nodes that it changes
  RepositoryWorld world(options);
  for (const char* name : {"a", "b"}) {
    Repository::CreateVolume request;
    request.name = name;
    world->create_volume(request);
  }
  const auto a = world->attach("a");
  const auto b = world->attach("b");
  write_file(*a, "f", pattern(100, 1));
  write_file(*b, "f", pattern(100, 1));
  world->commit();
  write_file(*a, "f", pattern(100, 2));
  write_file(*b, "f", pattern(100, 2));
  const NodeId head = world->volume("a").row.head;
  const Digest root = world->catalog().node(head).root.value().digest;
  world.store().memory().damage(root);
  EXPECT_EQ(failure_of([&] { world->commit(); }).first, EIO);
  EXPECT_EQ(world->dirty_bytes(), 0u) << "b is committed, and a cannot be";
  EXPECT_EQ(failure_of([&] { write_file(*a, "g", pattern(100, 3)); }).first, EIO);
  write_file(*b, "g", pattern(100, 3));
  world->create_snapshot("b", "s", {});
  EXPECT_EQ(read_file(*world->attach_snapshot("b@s"), "g"), pattern(100, 3));

  world.store().memory().heal(root);
  world->commit();
  write_file(*a, "g", pattern(100, 3));
  EXPECT_EQ(read_file(*a, "f"), pattern(100, 2));
}

TEST_F(RepositoryTest, RefusesReferencesWithAnEmptySide) {
  create("a");
  world_->create_snapshot("a", "s", {});
  EXPECT_EQ(world_->snapshot("s").name, "s");
  for (const char* reference : {"@s", "a@", "@", "a@s@s"})
    EXPECT_EQ(failure_of([&] { world_->snapshot(reference); }).first, EINVAL) << reference;
}

TEST_F(RepositoryTest, MakesTheSnapshotsThatACrashInterrupted) {
  create("a");
  const auto volume = world_->attach("a");
  write_file(*volume, "f", pattern(100'000, 1));
  world_->create_snapshot("a", "s1", {{"k", "v"}});
  write_file(*volume, "f", pattern(100'000, 2));
  world_->create_snapshot("a", "s2", {});
  write_file(*volume, "f", pattern(100'000, 3));
  for (const auto cut : {MemoryStore::Cut::kPower, MemoryStore::Cut::kKill}) {
    RepositoryImpl after(world_.store().crash(cut), RepositoryWorld::default_options());
    EXPECT_EQ(after.snapshots("a").size(), 2u);
    EXPECT_EQ(after.snapshot("s1").labels.at("k"), "v");
    EXPECT_EQ(read_file(*after.attach_snapshot("s1"), "f"), pattern(100'000, 1));
    EXPECT_EQ(read_file(*after.attach_snapshot("s2"), "f"), pattern(100'000, 2));
    if (cut == MemoryStore::Cut::kKill) {
      EXPECT_EQ(read_file(*after.attach("a"), "f"), pattern(100'000, 3));
    }
  }
  // Committed meanwhile: replay must not make them again.
  world_->commit();
  RepositoryImpl after(world_.store().crash(), RepositoryWorld::default_options());
  EXPECT_EQ(after.snapshots("a").size(), 2u);
}

TEST_F(RepositoryTest, RebuildsALostIndex) {
  create("a");
  write_file(*world_->attach("a"), "f", pattern(300'000, 1));
  world_->create_snapshot("a", "s", {});
  write_file(*world_->attach("a"), "f", pattern(100, 2), 70'000);
  clone("b", "a@s");
  world_.settle();
  world_.store().lose_index();
  world_.crash();
  expect_exact_references();
  EXPECT_EQ(in_snapshot("a@s", "f"), pattern(300'000, 1));
}

TEST_F(RepositoryTest, FreesUnlinkedFilesOnceNobodyUsesThem) {
  create("a");
  auto volume = world_->attach("a");
  const Ino ino = volume->make_node(kRootIno, "f", S_IFREG | 0644, 0, {}).ino;
  volume->write(ino, 0, pattern(100'000, 1), false);
  world_->commit();
  remove_file(*volume, "f");
  world_->commit();
  Bytes out(100'000);
  EXPECT_EQ(volume->read(ino, 0, out), 100'000u);
  volume.reset();
  EXPECT_EQ(world_->volume("a").inodes, 1u);
  world_.settle();
  EXPECT_LT(world_.store().memory().live_bytes(), 10'000u);
}

// ---- faults ------------------------------------------------------------------------------------

TEST_F(RepositoryTest, KeepsServingWhenCommitsFindNoSpace) {
  create("a");
  auto volume = world_->attach("a");
  write_file(*volume, "old", pattern(100'000, 1));
  world_->commit();
  write_file(*volume, "f", pattern(100'000, 2));
  world_.store().fail_next_commit(ENOSPC);
  EXPECT_EQ(failure_of([&] { world_->commit(); }).first, ENOSPC);
  EXPECT_EQ(read_file(*volume, "f"), pattern(100'000, 2));
  remove_file(*volume, "old");
  world_.store().fail_next_commit(ENOSPC);
  volume.reset();  // cannot commit: the changes stay with the head
  volume = world_->attach("a");
  EXPECT_EQ(read_file(*volume, "f"), pattern(100'000, 2));
  world_->commit();
  volume.reset();
  world_.crash();
  EXPECT_EQ(read_file(*world_->attach("a"), "f"), pattern(100'000, 2));
}

TEST_F(RepositoryTest, RefusesWritesThatWouldNotFitBeforeAcceptingThem) {
  create("a");
  const auto volume = world_->attach("a");
  write_file(*volume, "f", pattern(100'000, 1));
  world_.store().set_free_bytes(50'000);
  EXPECT_EQ(failure_of([&] { write_file(*volume, "f", pattern(100'000, 2)); }).first, ENOSPC);
  EXPECT_EQ(read_file(*volume, "f"), pattern(100'000, 1));
  remove_file(*volume, "f");
  world_->commit();
  EXPECT_EQ(as_text(read_file(*volume, "f")), "(none)");
}

TEST_F(RepositoryTest, TakesNoChangesAfterAFailedSync) {
  create("a");
  auto volume = world_->attach("a");
  write_file(*volume, "f", pattern(1000, 1));
  world_.store().fail_next_flush();
  EXPECT_EQ(failure_of([&] { volume->sync(); }).first, EIO);
  EXPECT_EQ(failure_of([&] { write_file(*volume, "f", pattern(1000, 2)); }).first, EIO);
  EXPECT_EQ(failure_of([&] { world_->create_snapshot("a", "s", {}); }).first, EIO);
  EXPECT_EQ(failure_of([&] { world_->commit(); }).first, EIO);
  EXPECT_EQ(read_file(*volume, "f"), pattern(1000, 1));
  volume.reset();
}

TEST_F(RepositoryTest, BoundsWhatIsDirty) {
  RepositoryOptions options = RepositoryWorld::default_options();
  options.dirty_limit_bytes = 1 << 20;
  options.dirty_stall_bytes = 2 << 20;
  RepositoryWorld world(options);
  Repository::CreateVolume request;
  request.name = "a";
  world->create_volume(request);
  const auto volume = world->attach("a");
  const Csn before = world.store().csn();
  for (unsigned i = 0; i < 64; ++i) write_file(*volume, "f", pattern(100'000, i), i * 100'000);
  EXPECT_GT(world.store().csn(), before + 3);
}

TEST_F(RepositoryTest, TrimsTheJournalUnderPressure) {
  RepositoryOptions options = RepositoryWorld::default_options();
  options.store.journal_file_bytes = 1 << 20;
  options.store.journal_files_max = 2;
  RepositoryWorld world(options);
  Repository::CreateVolume request;
  request.name = "a";
  world->create_volume(request);
  request.name = "idle";
  world->create_volume(request);
  const auto idle = world->attach("idle");
  write_file(*idle, "f", pattern(10, 1));
  const auto volume = world->attach("a");
  for (unsigned i = 0; i < 100; ++i) write_file(*volume, "f", pattern(100'000, i));
  EXPECT_EQ(read_file(*volume, "f"), pattern(100'000, 99));
  EXPECT_EQ(read_file(*idle, "f"), pattern(10, 1));
}

}  // namespace
}  // namespace varve::test
