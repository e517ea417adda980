// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

class Orphans : public VolumeTest {
 protected:
  std::size_t orphans() {
    std::size_t count = 0;
    for (const auto& [key, value] : world_.records()) count += key.kind == Kind::kOrphan;
    return count;
  }
  std::size_t regions(Ino ino) {
    std::size_t count = 0;
    for (const auto& [key, value] : world_.records()) {
      count += key.kind == Kind::kRegion && key.ino == ino;
    }
    return count;
  }
  int steps() {
    int count = 0;
    while (volume().free_orphans_step()) ++count;
    return count;
  }
  /// A file with `count` region records in the tree.
  Ino big_file(const std::string& name, std::uint64_t count) {
    const Ino ino = file(name);
    for (std::uint64_t i = 0; i < count; ++i) write(ino, "x", i * kRegionBytes);
    world_.commit();
    return ino;
  }
};

TEST_F(Orphans, UnlinkedFileLivesWhileItIsInUse) {
  const Ino a = file("a");
  write(a, "text");
  volume().unlink(kRootIno, "a");
  EXPECT_EQ(stat(a).nlink, 0u);
  EXPECT_EQ(content(a), "text");
  write(a, "more");
  EXPECT_EQ(orphans(), 1u);
  volume().forget(a, 1);
  EXPECT_FALSE(exists(a));
  EXPECT_EQ(orphans(), 0u);
  EXPECT_EQ(world_.info().inodes, 1u);
  EXPECT_EQ(world_.info().logical_bytes, 0u);
}

TEST_F(Orphans, UnusedFileIsFreedAtOnceInOneOperation) {
  const Ino a = file("a");
  write(a, std::string(300'000, 'x'));
  world_.commit();
  forget(a);
  const std::size_t before = world_.store().records().size();
  volume().unlink(kRootIno, "a");
  EXPECT_EQ(world_.store().records().size(), before + 1);
  EXPECT_FALSE(exists(a));
  EXPECT_EQ(world_.info().logical_bytes, 0u);
  world_.commit();
  EXPECT_EQ(world_.store().memory().references().size(), 1u) << "nothing but a leaf is left";
}

TEST_F(Orphans, DataOfAFrozenGenerationIsFreedToo) {
  const Ino a = file("a");
  write(a, std::string(300'000, 'x'));
  EXPECT_TRUE(world_.freeze());
  volume().unlink(kRootIno, "a");
  forget(a);
  EXPECT_TRUE(world_.freeze());
  EXPECT_TRUE(world_.commit_frozen());
  EXPECT_TRUE(world_.commit_frozen());
  EXPECT_EQ(regions(a), 0u);
  EXPECT_EQ(world_.store().memory().references().size(), 1u);
}

TEST_F(Orphans, RemovedDirectoryLivesWhileItIsInUse) {
  const Ino d = directory("d");
  volume().rmdir(kRootIno, "d");
  EXPECT_EQ(stat(d).nlink, 0u);
  forget(d);
  EXPECT_FALSE(exists(d));
  EXPECT_EQ(world_.info().inodes, 1u);
}

TEST_F(Orphans, TemporaryFileIsGoneWhenForgotten) {
  const Ino t = volume().make_temporary(kRootIno, 0600, caller_).ino;
  EXPECT_EQ(stat(t).nlink, 0u);
  EXPECT_EQ(orphans(), 1u);
  forget(t);
  EXPECT_FALSE(exists(t));
  EXPECT_EQ(world_.info().inodes, 1u);
}

TEST_F(Orphans, TemporaryFileMayGetAName) {
  const Ino t = volume().make_temporary(kRootIno, 0600, caller_).ino;
  write(t, "text");
  EXPECT_EQ(volume().link(t, kRootIno, "a").nlink, 1u);
  EXPECT_EQ(orphans(), 0u);
  forget(t);
  EXPECT_EQ(find("a"), t);
  EXPECT_EQ(content(t), "text");
}

TEST_F(Orphans, AreFreedInTheBackgroundAfterACrash) {
  const Ino a = file("a");
  write(a, std::string(100'000, 'x'));
  world_.commit();
  volume().unlink(kRootIno, "a");
  world_.crash();
  EXPECT_TRUE(exists(a));
  EXPECT_EQ(steps(), 1);
  EXPECT_FALSE(exists(a));
  EXPECT_EQ(orphans(), 0u);
  EXPECT_FALSE(volume().free_orphans_step());
}

TEST_F(Orphans, AreFreedWhenTheMountIsGone) {
  const Ino a = file("a");
  const Ino b = file("b");
  volume().unlink(kRootIno, "a");
  volume().unlink(kRootIno, "b");
  EXPECT_EQ(steps(), 0) << "they are in use";
  volume().drop_lookups();
  EXPECT_EQ(steps(), 2);
  EXPECT_FALSE(exists(a));
  EXPECT_FALSE(exists(b));
}

TEST_F(Orphans, SurviveATakeoverUntilTheyAreForgotten) {
  const Ino a = file("a");
  write(a, "text");
  const Ino b = file("b");
  const Ino c = file("c");
  volume().unlink(kRootIno, "a");
  world_.crash(/*resumed=*/true);
  EXPECT_EQ(steps(), 0);
  EXPECT_EQ(content(a), "text");
  volume().unlink(kRootIno, "b");
  EXPECT_TRUE(exists(b)) << "an earlier process may have given it out";
  volume().forget(a, 3);
  EXPECT_FALSE(exists(a));
  volume().forget(b, 1);
  EXPECT_FALSE(exists(b));
  volume().unlink(kRootIno, "c");
  volume().drop_lookups();
  EXPECT_EQ(steps(), 1);
  EXPECT_FALSE(exists(c));
}

TEST_F(Orphans, OfTheStateRolledBackToAreFreedWhenForgotten) {
  const Ino used = volume().make_temporary(kRootIno, 0600, caller_).ino;
  const Ino unused = volume().make_temporary(kRootIno, 0600, caller_).ino;
  world_.commit();
  const std::optional<Ptr> then = world_.root();
  volume().link(used, kRootIno, "a");
  volume().forget(used, 1);
  forget(unused);
  world_.commit();
  world_.roll_back(then);
  EXPECT_FALSE(find("a").has_value());
  EXPECT_EQ(steps(), 1);
  EXPECT_FALSE(exists(unused));
  EXPECT_TRUE(exists(used));
  forget(used);
  EXPECT_FALSE(exists(used));
}

TEST_F(Orphans, BigFilesAreFreedInSteps) {
  constexpr std::uint64_t kRegions = 2 * AttachedVolume::kFreeRegions + 100;
  const Ino a = big_file("a", kRegions);
  EXPECT_EQ(regions(a), kRegions);
  write(a, "dirty", 5 * kRegionBytes);
  forget(a);
  volume().unlink(kRootIno, "a");
  EXPECT_TRUE(exists(a));
  EXPECT_EQ(regions(a), kRegions) << "unlink itself frees none";
  EXPECT_TRUE(volume().free_orphans_step());
  EXPECT_EQ(regions(a), kRegions - AttachedVolume::kFreeRegions);
  world_.commit();
  world_.crash();  // in the middle
  EXPECT_EQ(steps(), 2);
  EXPECT_FALSE(exists(a));
  EXPECT_EQ(world_.info().logical_bytes, 0u);
  world_.commit();
  EXPECT_EQ(world_.store().memory().references().size(), 1u);
}

TEST_F(Orphans, BigFilesInUseAreFreedInStepsOnceForgotten) {
  const Ino a = big_file("a", AttachedVolume::kFreeRegions + 1);
  volume().unlink(kRootIno, "a");
  EXPECT_EQ(steps(), 0);
  forget(a);
  EXPECT_EQ(steps(), 1);
  EXPECT_FALSE(exists(a));
}

TEST_F(Orphans, ForgettingNeverFailsAndLeavesTheRestToTheBackground) {
  const Ino a = file("a");
  volume().unlink(kRootIno, "a");
  world_.store().fail_next_flush();
  EXPECT_EQ(errno_of([&] { volume().sync(); }), EIO);
  volume().forget(a, 1);
  EXPECT_TRUE(exists(a));
  EXPECT_EQ(errno_of([&] { volume().free_orphans_step(); }), EIO);
}

TEST_F(Orphans, ForgetOfLiveInodesWritesNothing) {
  const Ino a = file("a");
  const std::size_t before = world_.store().records().size();
  forget(a);
  forget(Ino{12345});
  EXPECT_EQ(world_.store().records().size(), before);
}

TEST_F(Orphans, TakeTheirLinkrefsAndAttributesAlong) {
  const Ino a = file("a");
  volume().link(a, kRootIno, "b");
  set_xattr(a, "user.x", "1");
  world_.commit();
  volume().unlink(kRootIno, "a");
  volume().unlink(kRootIno, "b");
  forget(a);
  for (const auto& [key, value] : world_.records()) EXPECT_NE(key.ino, a);
}

}  // namespace
}  // namespace varve::test
