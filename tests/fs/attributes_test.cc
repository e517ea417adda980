// SPDX-License-Identifier: Apache-2.0
#include "fs/attributes.h"

#include <gtest/gtest.h>

#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

class AttributesTest : public VolumeTest {
 protected:
  Attributes set(Ino ino, const SetAttributes& change) {
    return volume().setattr(ino, change, caller_);
  }
  std::uint32_t permissions(Ino ino) { return stat(ino).mode & 07777; }
};

TEST_F(AttributesTest, RootIsADirectoryOfItsOwn) {
  const Attributes root = stat(kRootIno);
  EXPECT_EQ(root.ino, kRootIno);
  EXPECT_EQ(root.mode, S_IFDIR | 0755u);
  EXPECT_EQ(root.nlink, 2u);
  EXPECT_EQ(root.blocks, 0u);
  EXPECT_EQ(world_.info().inodes, 1u);
}

TEST_F(AttributesTest, ChmodKeepsTheTypeAndTouchesCtime) {
  const Ino a = file("a");
  const Attributes before = stat(a);
  const Time time = tick();
  SetAttributes change;
  change.mode = S_IFDIR | 07711;
  const Attributes after = set(a, change);
  EXPECT_EQ(after.mode, S_IFREG | 07711u);
  EXPECT_EQ(after.ctime, time);
  EXPECT_EQ(after.mtime, before.mtime);
}

TEST_F(AttributesTest, ChmodOfASymlinkIsRefused) {
  const Ino link = volume().make_symlink(kRootIno, "l", "t", caller_).ino;
  SetAttributes change;
  change.mode = 0700;
  EXPECT_EQ(errno_of([&] { set(link, change); }), EOPNOTSUPP);
}

TEST_F(AttributesTest, TimesAreTakenOrGiven) {
  const Ino a = file("a");
  const Time time = tick();
  SetAttributes change;
  change.atime = Time{-5, 999'999'999};
  change.mtime = SetAttributes::Now{};
  const Attributes after = set(a, change);
  EXPECT_EQ(after.atime, (Time{-5, 999'999'999}));
  EXPECT_EQ(after.mtime, time);
  EXPECT_EQ(after.ctime, time);
  SetAttributes from_cache;
  from_cache.ctime = Time{3, 4};
  EXPECT_EQ(set(a, from_cache).ctime, (Time{3, 4}));
  EXPECT_EQ(stat(a).btime, stat(kRootIno).btime);
}

TEST_F(AttributesTest, ReadingLeavesAtimeAlone) {
  const Ino a = file("a");
  write(a, "text");
  const Time before = stat(a).atime;
  tick();
  EXPECT_EQ(content(a), "text");
  names();
  EXPECT_EQ(stat(a).atime, before);
  EXPECT_EQ(stat(kRootIno).atime, before);
}

TEST_F(AttributesTest, ChownClearsSetuidAndSetgidOfFiles) {
  SetAttributes chown;
  chown.uid = 5;
  const Ino a = file("a", kRootIno, 06755);
  EXPECT_EQ(set(a, chown).uid, 5u);
  EXPECT_EQ(permissions(a), 0755u);
  const Ino b = file("b", kRootIno, 06745);
  set(b, chown);
  EXPECT_EQ(permissions(b), 02745u) << "setgid without group execution stays";
  const Ino d = directory("d", kRootIno, 06755);
  set(d, chown);
  EXPECT_EQ(permissions(d), 06755u) << "directories keep both";
}

TEST_F(AttributesTest, ModeGivenWithChownIsTheLastWord) {
  const Ino a = file("a", kRootIno, 0755);
  SetAttributes change;
  change.uid = 5;
  change.mode = 04755;
  set(a, change);
  EXPECT_EQ(permissions(a), 04755u);
}

TEST_F(AttributesTest, WritesAndTruncationClearSetidWhenTheKernelAsks) {
  const Ino a = file("a", kRootIno, 06777);
  write(a, "x");
  EXPECT_EQ(permissions(a), 06777u);
  volume().write(a, 0, as_bytes("x"), true);
  EXPECT_EQ(permissions(a), 0777u);

  const Ino b = file("b", kRootIno, 06777);
  SetAttributes change;
  change.size = 10;
  set(b, change);
  EXPECT_EQ(permissions(b), 06777u);
  change.clear_setid = true;
  set(b, change);
  EXPECT_EQ(permissions(b), 0777u);
}

TEST_F(AttributesTest, TruncationTouchesTimesEvenToTheSameSize) {
  const Ino a = file("a");
  write(a, "text");
  const Time time = tick();
  SetAttributes change;
  change.size = 4;
  const Attributes after = set(a, change);
  EXPECT_EQ(after.mtime, time);
  EXPECT_EQ(after.ctime, time);
  EXPECT_EQ(content(a), "text");
}

TEST_F(AttributesTest, TruncationIsForRegularFilesOfPossibleSizes) {
  SetAttributes change;
  change.size = 1;
  EXPECT_EQ(errno_of([&] { set(kRootIno, change); }), EISDIR);
  const Ino pipe = volume().make_node(kRootIno, "p", S_IFIFO | 0600, 0, caller_).ino;
  EXPECT_EQ(errno_of([&] { set(pipe, change); }), EINVAL);
  const Ino a = file("a");
  change.size = kMaxFileBytes;
  EXPECT_EQ(set(a, change).size, kMaxFileBytes);
  change.size = kMaxFileBytes + 1;
  EXPECT_EQ(errno_of([&] { set(a, change); }), EFBIG);
}

TEST_F(AttributesTest, FailedChangeChangesNothing) {
  const Ino link = volume().make_symlink(kRootIno, "l", "t", caller_).ino;
  const auto before = world_.records();
  SetAttributes change;
  change.uid = 5;
  change.mode = 0700;
  EXPECT_EQ(errno_of([&] { set(link, change); }), EOPNOTSUPP);
  EXPECT_EQ(world_.records(), before);
}

TEST_F(AttributesTest, FiguresAreTheHostsWithoutAQuota) {
  world_.store().set_free_bytes(12'345'678);
  const FileSystemFigures figures = volume().statfs();
  EXPECT_EQ(figures.free_bytes, 12'345'678u);
  EXPECT_EQ(figures.total_bytes, world_.store().figures().total_bytes);
  EXPECT_GT(figures.free_inodes, 1u << 20);
}

TEST_F(AttributesTest, FiguresAreTheQuotaWithOne) {
  const Ino a = file("a");
  write(a, std::string(100'000, 'x'));
  world_.head().run([&] {
    Transaction transaction(world_.head());
    transaction.head_info().quota_bytes = 1 << 20;
    transaction.commit();
  });
  const std::uint64_t used = world_.info().logical_bytes;
  EXPECT_GE(used, 100'000u);
  EXPECT_EQ(volume().statfs().total_bytes, 1u << 20);
  EXPECT_EQ(volume().statfs().free_bytes, (1u << 20) - used);
  world_.store().set_free_bytes(1000);
  EXPECT_EQ(volume().statfs().free_bytes, 1000u);
}

TEST_F(AttributesTest, FiguresOfAQuotaBelowWhatIsUsedShowNothingFree) {
  write(file("a"), std::string(100'000, 'x'));
  world_.head().run([&] {
    Transaction transaction(world_.head());
    transaction.head_info().quota_bytes = 1000;
    transaction.commit();
  });
  EXPECT_EQ(volume().statfs().free_bytes, 0u);
}

}  // namespace
}  // namespace varve::test
