// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "fs/entries.h"
#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Namespace : public VolumeTest {};

TEST_F(Namespace, NewFilesShowWhatWasAskedFor) {
  caller_ = {1000, 100, 022};
  const Time time = tick();
  const Attributes made = volume().make_node(kRootIno, "a", S_IFREG | 0666, 0, caller_);
  EXPECT_EQ(made.mode, S_IFREG | 0644u);
  EXPECT_EQ(made.uid, 1000u);
  EXPECT_EQ(made.gid, 100u);
  EXPECT_EQ(made.nlink, 1u);
  EXPECT_EQ(made.size, 0u);
  EXPECT_EQ(made.btime, time);
  EXPECT_EQ(stat(kRootIno).mtime, time);
  EXPECT_EQ(stat(kRootIno).ctime, time);
  EXPECT_EQ(find("a"), made.ino);
}

TEST_F(Namespace, NodesKeepTypeAndDevice) {
  const Attributes device = volume().make_node(kRootIno, "c", S_IFCHR | 0600, 0x501, caller_);
  EXPECT_EQ(device.rdev, 0x501u);
  EXPECT_TRUE(S_ISCHR(device.mode));
  const Attributes pipe = volume().make_node(kRootIno, "p", S_IFIFO | 0600, 0x501, caller_);
  EXPECT_EQ(pipe.rdev, 0u);
  EXPECT_TRUE(S_ISREG(volume().make_node(kRootIno, "r", 0600, 0, caller_).mode));
  EXPECT_EQ(errno_of([&] { volume().make_node(kRootIno, "d", S_IFDIR | 0755, 0, caller_); }),
            EPERM);
  EXPECT_EQ(errno_of([&] { volume().make_node(kRootIno, "l", S_IFLNK | 0755, 0, caller_); }),
            EINVAL);
}

TEST_F(Namespace, DirectoriesCountTheirSubdirectories) {
  EXPECT_EQ(stat(kRootIno).nlink, 2u);
  const Ino d = directory("d");
  directory("e", d);
  file("f", d);
  EXPECT_EQ(stat(kRootIno).nlink, 3u);
  EXPECT_EQ(stat(d).nlink, 3u);
  EXPECT_EQ(stat(d).size, 2u) << "the sum of the names' lengths";
  volume().rmdir(d, "e");
  EXPECT_EQ(stat(d).nlink, 2u);
}

TEST_F(Namespace, NamesAreValidated) {
  EXPECT_EQ(errno_of([&] { file(""); }), EINVAL);
  EXPECT_EQ(errno_of([&] { file("a/b"); }), EINVAL);
  EXPECT_EQ(errno_of([&] { file(std::string("a\0b", 3)); }), EINVAL);
  EXPECT_EQ(errno_of([&] { file(std::string(256, 'n')); }), ENAMETOOLONG);
  EXPECT_EQ(errno_of([&] { file(std::string(255, 'n')); }), 0);
  EXPECT_EQ(errno_of([&] { file("\xff\xc0\x01"); }), 0) << "names are bytes";
  EXPECT_EQ(errno_of([&] { file("."); }), EEXIST);
  EXPECT_EQ(errno_of([&] { directory(".."); }), EEXIST);
  EXPECT_EQ(errno_of([&] { volume().unlink(kRootIno, "."); }), EISDIR);
  EXPECT_EQ(errno_of([&] { volume().rmdir(kRootIno, "."); }), EINVAL);
  EXPECT_EQ(errno_of([&] { volume().rmdir(kRootIno, ".."); }), ENOTEMPTY);
  EXPECT_EQ(errno_of([&] { find(std::string(256, 'n')); }), ENAMETOOLONG);
}

TEST_F(Namespace, ExistingNamesAreNotMadeAgain) {
  file("a");
  EXPECT_EQ(errno_of([&] { file("a"); }), EEXIST);
  EXPECT_EQ(errno_of([&] { directory("a"); }), EEXIST);
  EXPECT_EQ(errno_of([&] { volume().make_symlink(kRootIno, "a", "t", caller_); }), EEXIST);
}

TEST_F(Namespace, FailedCreationUsesNoInodeNumber) {
  const Ino first = file("a");
  EXPECT_EQ(errno_of([&] { file("a"); }), EEXIST);
  EXPECT_EQ(to_integer(file("b")), to_integer(first) + 1);
  EXPECT_EQ(world_.info().inodes, 3u);
}

TEST_F(Namespace, ParentsMustBeDirectoriesThatExist) {
  const Ino a = file("a");
  EXPECT_EQ(errno_of([&] { file("b", a); }), ENOTDIR);
  EXPECT_EQ(errno_of([&] { find("b", a); }), ENOTDIR);
  EXPECT_EQ(errno_of([&] { file("b", Ino{99}); }), ESTALE);
  EXPECT_EQ(errno_of([&] { volume().getattr(Ino{99}); }), ESTALE);
}

TEST_F(Namespace, RemovedDirectoriesTakeNoNames) {
  const Ino d = directory("d");
  volume().rmdir(kRootIno, "d");
  EXPECT_EQ(errno_of([&] { file("a", d); }), ENOENT);
  EXPECT_EQ(errno_of([&] { volume().make_temporary(d, 0600, caller_); }), ENOENT);
  const Ino a = file("a");
  EXPECT_EQ(errno_of([&] { volume().link(a, d, "b"); }), ENOENT);
  EXPECT_EQ(errno_of([&] { volume().rename(kRootIno, "a", d, "b", RenameMode::kReplace); }),
            ENOENT);
}

TEST_F(Namespace, LookupFindsTheDots) {
  const Ino d = directory("d");
  EXPECT_EQ(find(".", d), d);
  EXPECT_EQ(find("..", d), kRootIno);
  EXPECT_EQ(find("..", kRootIno), kRootIno);
  EXPECT_FALSE(find("absent", d).has_value());
}

TEST_F(Namespace, SetgidDirectoriesHandTheirGroupDown) {
  caller_ = {1000, 100, 0};
  const Ino d = directory("d", kRootIno, 02775);
  SetAttributes chown;
  chown.gid = 77;
  volume().setattr(d, chown, caller_);
  EXPECT_EQ(stat(d).mode, S_IFDIR | 02775u) << "chown leaves a directory's setgid";
  const Ino f = file("f", d);
  const Ino e = directory("e", d);
  EXPECT_EQ(stat(f).gid, 77u);
  EXPECT_EQ(stat(f).mode & S_ISGID, 0u);
  EXPECT_EQ(stat(e).gid, 77u);
  EXPECT_EQ(stat(e).mode & S_ISGID, static_cast<unsigned>(S_ISGID));
}

TEST_F(Namespace, SymlinksKeepTheirTarget) {
  caller_.umask = 077;
  const Attributes link = volume().make_symlink(kRootIno, "l", "some/where", caller_);
  EXPECT_EQ(link.mode, S_IFLNK | 0777u);
  EXPECT_EQ(link.size, 10u);
  EXPECT_EQ(volume().readlink(link.ino), "some/where");
  EXPECT_EQ(errno_of([&] { volume().readlink(kRootIno); }), EINVAL);
  EXPECT_EQ(errno_of([&] { volume().make_symlink(kRootIno, "m", "", caller_); }), ENOENT);
  EXPECT_EQ(
      errno_of([&] { volume().make_symlink(kRootIno, "m", std::string(4096, 't'), caller_); }),
      ENAMETOOLONG);
}

TEST_F(Namespace, LongTargetsSurviveACommit) {
  const std::string target(4095, 't');
  const Ino link = volume().make_symlink(kRootIno, "l", target, caller_).ino;
  world_.commit();
  world_.store().memory().refuse_first_touch(true);
  EXPECT_EQ(volume().readlink(link), target);
}

TEST_F(Namespace, LinksShareOneInode) {
  const Ino a = file("a");
  const Ino d = directory("d");
  const Time time = tick();
  const Attributes linked = volume().link(a, d, "b");
  EXPECT_EQ(linked.nlink, 2u);
  EXPECT_EQ(linked.ctime, time);
  EXPECT_EQ(find("b", d), a);
  volume().unlink(kRootIno, "a");
  EXPECT_EQ(stat(a).nlink, 1u);
  volume().link(a, kRootIno, "c");
  volume().link(a, kRootIno, "e");
  EXPECT_EQ(stat(a).nlink, 3u);
}

TEST_F(Namespace, LinkRefusesDirectoriesAndExistingNames) {
  const Ino a = file("a");
  const Ino d = directory("d");
  EXPECT_EQ(errno_of([&] { volume().link(d, kRootIno, "e"); }), EPERM);
  EXPECT_EQ(errno_of([&] { volume().link(a, kRootIno, "d"); }), EEXIST);
  EXPECT_EQ(errno_of([&] { volume().link(d, kRootIno, "a"); }), EEXIST) << "as Linux orders them";
}

TEST_F(Namespace, LinksEndAtTheLargestCount) {
  const Ino a = file("a");
  const Ino d = directory("d");
  const auto set_links = [&](Ino ino, std::uint32_t nlink) {
    world_.head().run([&] {
      Transaction transaction(world_.head());
      InodeRecord inode = transaction.inode(ino);
      inode.nlink = nlink;
      transaction.set_inode(ino, inode);
      transaction.commit();
    });
  };
  set_links(a, kMaxLinks);
  set_links(d, kMaxLinks);
  EXPECT_EQ(errno_of([&] { volume().link(a, kRootIno, "b"); }), EMLINK);
  EXPECT_EQ(errno_of([&] { directory("e", d); }), EMLINK);
  directory("f");
  EXPECT_EQ(errno_of([&] { volume().rename(kRootIno, "f", d, "f", RenameMode::kReplace); }),
            EMLINK);
  set_links(a, 1);
  set_links(d, 2);
}

TEST_F(Namespace, UnlinkAndRmdirTellTheirKindsApart) {
  file("a");
  directory("d");
  EXPECT_EQ(errno_of([&] { volume().unlink(kRootIno, "d"); }), EISDIR);
  EXPECT_EQ(errno_of([&] { volume().rmdir(kRootIno, "a"); }), ENOTDIR);
  EXPECT_EQ(errno_of([&] { volume().unlink(kRootIno, "x"); }), ENOENT);
  EXPECT_EQ(errno_of([&] { volume().rmdir(kRootIno, "x"); }), ENOENT);
}

TEST_F(Namespace, FullDirectoriesAreNotRemoved) {
  const Ino d = directory("d");
  file("a", d);
  world_.commit();
  EXPECT_EQ(errno_of([&] { volume().rmdir(kRootIno, "d"); }), ENOTEMPTY);
  volume().unlink(d, "a");
  volume().rmdir(kRootIno, "d");
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Namespace, RemovalTouchesTheParentsTimes) {
  const Ino a = file("a");
  volume().link(a, kRootIno, "b");
  const Time time = tick();
  volume().unlink(kRootIno, "a");
  EXPECT_EQ(stat(kRootIno).mtime, time);
  EXPECT_EQ(stat(kRootIno).ctime, time);
  EXPECT_EQ(stat(a).ctime, time);
  EXPECT_NE(stat(a).mtime, time);
}

TEST_F(Namespace, NamesWithOneHashLiveSideBySide) {
  const std::uint64_t slot = name_slot_base("b");
  const Ino a = file("a");
  const auto commit = [&](const std::optional<std::string>& name) {
    world_.head().run([&] {
      Transaction transaction(world_.head());
      const Key key{kRootIno, Kind::kDirent, slot};
      if (name)
        transaction.set(key, DirentRecord{a, S_IFREG, *name}.encode());
      else
        transaction.erase(key);
      transaction.commit();
    });
  };
  commit("intruder");
  EXPECT_FALSE(find("b").has_value());
  const Ino b = file("b");
  EXPECT_EQ(find("b"), b);
  EXPECT_THAT(names(), ElementsAre("a", "b", "intruder"));
  commit(std::nullopt);
  EXPECT_EQ(find("b"), b) << "a slot does not move while its name lives";
  world_.commit();
  EXPECT_EQ(find("b"), b);
}

TEST_F(Namespace, AllSlotsOfOneHashTakenIsENOSPC) {
  const std::uint64_t slot = name_slot_base("b");
  const Ino a = file("a");
  const auto fill = [&](bool taken) {
    world_.head().run([&] {
      Transaction transaction(world_.head());
      for (std::uint64_t i = 0; i < kNameSlots; ++i) {
        const Key key{kRootIno, Kind::kDirent, slot + i};
        if (taken)
          transaction.set(key, DirentRecord{a, S_IFREG, "n" + std::to_string(i)}.encode());
        else
          transaction.erase(key);
      }
      transaction.commit();
    });
  };
  fill(true);
  EXPECT_FALSE(find("b").has_value());
  EXPECT_EQ(errno_of([&] { file("b"); }), ENOSPC);
  fill(false);
}

TEST_F(Namespace, InodesEndAtTheirLimit) {
  world_.head().run([&] {
    Transaction transaction(world_.head());
    transaction.head_info().quota_inodes = 3;
    transaction.commit();
  });
  file("a");
  const Ino b = file("b");
  EXPECT_EQ(errno_of([&] { file("c"); }), EDQUOT);
  EXPECT_EQ(volume().statfs().total_inodes, 3u);
  EXPECT_EQ(volume().statfs().free_inodes, 0u);
  volume().unlink(kRootIno, "b");
  forget(b);
  EXPECT_EQ(errno_of([&] { file("c"); }), 0);
}

TEST_F(Namespace, FullStoreRefusesNewNamesAndAllowsRemoval) {
  const Ino a = file("a");
  const Ino d = directory("d");
  world_.store().set_free_bytes(0);
  EXPECT_EQ(errno_of([&] { file("b"); }), ENOSPC);
  EXPECT_EQ(errno_of([&] { directory("b"); }), ENOSPC);
  EXPECT_EQ(errno_of([&] { volume().link(a, kRootIno, "b"); }), ENOSPC);
  EXPECT_EQ(errno_of([&] { set_xattr(a, "user.a", "x"); }), ENOSPC);
  EXPECT_EQ(errno_of([&] { volume().rename(kRootIno, "a", d, "a", RenameMode::kReplace); }), 0);
  EXPECT_EQ(errno_of([&] { volume().unlink(d, "a"); }), 0);
  EXPECT_EQ(errno_of([&] { volume().rmdir(kRootIno, "d"); }), 0);
}

TEST_F(Namespace, ReadOnlyVolumesRefuseEveryChange) {
  const Ino a = file("a");
  world_.commit();
  const auto view = world_.view_commit();
  EXPECT_TRUE(view->read_only());
  EXPECT_EQ(view->lookup(kRootIno, "a")->ino, a);
  EXPECT_EQ(errno_of([&] { view->make_node(kRootIno, "b", 0644, 0, caller_); }), EROFS);
  EXPECT_EQ(errno_of([&] { view->unlink(kRootIno, "a"); }), EROFS);
  EXPECT_EQ(errno_of([&] { view->setattr(a, {}, caller_); }), EROFS);
  EXPECT_EQ(errno_of([&] { view->rename(kRootIno, "a", kRootIno, "b", RenameMode::kReplace); }),
            EROFS);
  EXPECT_EQ(errno_of([&] { view->sync(); }), 0);
  EXPECT_FALSE(view->free_orphans_step());
}

TEST_F(Namespace, NothingChangesWhenTheJournalRefuses) {
  const Ino a = file("a");
  const auto before = world_.records();
  world_.store().fail_next_flush();
  EXPECT_EQ(errno_of([&] { volume().fsync(a); }), EIO);
  EXPECT_EQ(errno_of([&] { file("b"); }), EIO);
  EXPECT_EQ(errno_of([&] { volume().unlink(kRootIno, "a"); }), EIO);
  EXPECT_EQ(errno_of([&] { volume().sync(); }), EIO);
  EXPECT_EQ(world_.records(), before);
  EXPECT_EQ(find("a"), a) << "reading goes on";
}

TEST_F(Namespace, AcknowledgedOperationsSurviveAKill) {
  const Ino d = directory("d");
  const Ino a = file("a", d);
  world_.commit();
  file("b", d);
  volume().rename(d, "a", kRootIno, "c", RenameMode::kReplace);
  const auto before = world_.records();
  world_.crash();
  EXPECT_EQ(world_.records(), before);
  EXPECT_EQ(find("c"), a);
  EXPECT_THAT(names(d), ElementsAre("b"));
}

}  // namespace
}  // namespace varve::test
