// SPDX-License-Identifier: Apache-2.0
#include "fs/xattrs.h"

#include <gtest/gtest.h>

#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Xattr : public VolumeTest {
 protected:
  Ino ino_ = file("a");
};

TEST_F(Xattr, ValuesAreSetReadListedAndRemoved) {
  EXPECT_FALSE(xattr(ino_, "user.a").has_value());
  set_xattr(ino_, "user.a", "one");
  set_xattr(ino_, "trusted.b", "");
  EXPECT_EQ(xattr(ino_, "user.a"), "one");
  EXPECT_EQ(xattr(ino_, "trusted.b"), "");
  EXPECT_THAT(volume().list_xattrs(ino_), UnorderedElementsAre("user.a", "trusted.b"));
  volume().remove_xattr(ino_, "user.a");
  EXPECT_FALSE(xattr(ino_, "user.a").has_value());
  EXPECT_THAT(volume().list_xattrs(ino_), ElementsAre("trusted.b"));
}

TEST_F(Xattr, ModesDecideBetweenCreationAndReplacement) {
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "user.a", "x", XattrMode::kReplace); }), ENODATA);
  set_xattr(ino_, "user.a", "x", XattrMode::kCreate);
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "user.a", "y", XattrMode::kCreate); }), EEXIST);
  set_xattr(ino_, "user.a", "z", XattrMode::kReplace);
  EXPECT_EQ(xattr(ino_, "user.a"), "z");
}

TEST_F(Xattr, RemovingWhatIsAbsentIsENODATA) {
  EXPECT_EQ(errno_of([&] { volume().remove_xattr(ino_, "user.a"); }), ENODATA);
}

TEST_F(Xattr, NamesOutsideTheKnownSpacesAreRefused) {
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "other.a", "x"); }), EOPNOTSUPP);
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "system.nfs4_acl", "x"); }), EOPNOTSUPP);
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "user.", "x"); }), EINVAL);
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "", "x"); }), ERANGE);
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "user." + std::string(251, 'n'), "x"); }), ERANGE);
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "user." + std::string(250, 'n'), "x"); }), 0);
}

TEST_F(Xattr, ValuesEndAt64KiB) {
  EXPECT_EQ(errno_of([&] { set_xattr(ino_, "user.a", std::string(65'537, 'v')); }), E2BIG);
  const std::string value(65'536, 'v');
  set_xattr(ino_, "user.a", value);
  EXPECT_EQ(xattr(ino_, "user.a"), value);
  world_.commit();
  world_.store().memory().refuse_first_touch(true);
  EXPECT_EQ(xattr(ino_, "user.a"), value);
}

TEST_F(Xattr, TheListEndsAt64KiB) {
  int refused = 0;
  int count = 0;
  for (; refused == 0 && count < 400; ++count) {
    const std::string name = "user." + std::string(240, 'n') + std::to_string(1000 + count);
    refused = errno_of([&] { set_xattr(ino_, name, ""); });
  }
  EXPECT_EQ(refused, ENOSPC);
  std::size_t bytes = 0;
  for (const std::string& name : volume().list_xattrs(ino_)) bytes += name.size() + 1;
  EXPECT_LE(bytes, 65'536u);
  EXPECT_GT(bytes, 65'000u);
}

TEST_F(Xattr, ChangesTouchCtimeAlone) {
  const Attributes before = stat(ino_);
  const Time time = tick();
  set_xattr(ino_, "user.a", "x");
  EXPECT_EQ(stat(ino_).ctime, time);
  EXPECT_EQ(stat(ino_).mtime, before.mtime);
  const Time later = tick();
  volume().remove_xattr(ino_, "user.a");
  EXPECT_EQ(stat(ino_).ctime, later);
}

TEST_F(Xattr, NamesWithOneHashLiveSideBySide) {
  // The slots of one hash are numbered: put another name into the slot that user.b hashes to.
  const std::uint64_t slot = name_slot_base("user.b");
  world_.head().run([&] {
    Transaction transaction(world_.head());
    InodeRecord inode = transaction.inode(ino_);
    transaction.set({ino_, Kind::kXattr, slot}, XattrRecord{"user.other", {}}.encode());
    inode.flags |= InodeFlags::kHasXattr;
    transaction.set_inode(ino_, inode);
    transaction.commit();
  });
  EXPECT_FALSE(xattr(ino_, "user.b").has_value());
  set_xattr(ino_, "user.b", "second");
  EXPECT_EQ(xattr(ino_, "user.b"), "second");
  EXPECT_THAT(volume().list_xattrs(ino_), ElementsAre("user.other", "user.b"));
  volume().remove_xattr(ino_, "user.b");
  EXPECT_THAT(volume().list_xattrs(ino_), ElementsAre("user.other"));
}

TEST_F(Xattr, CapabilitiesAreDroppedByWritesTruncationAndChown) {
  const std::string name(kCapabilitiesName);
  set_xattr(ino_, name, "caps");
  set_xattr(ino_, "user.stays", "x");
  write(ino_, "data");
  EXPECT_FALSE(xattr(ino_, name).has_value());

  set_xattr(ino_, name, "caps");
  SetAttributes truncation;
  truncation.size = 1;
  volume().setattr(ino_, truncation, caller_);
  EXPECT_FALSE(xattr(ino_, name).has_value());

  set_xattr(ino_, name, "caps");
  SetAttributes chown;
  chown.gid = 5;
  volume().setattr(ino_, chown, caller_);
  EXPECT_FALSE(xattr(ino_, name).has_value());
  EXPECT_EQ(xattr(ino_, "user.stays"), "x");

  set_xattr(ino_, name, "caps");
  SetAttributes chmod;
  chmod.mode = 0700;
  volume().setattr(ino_, chmod, caller_);
  EXPECT_TRUE(xattr(ino_, name).has_value()) << "chmod keeps them";
}

TEST_F(Xattr, GoWithTheirInode) {
  set_xattr(ino_, "user.a", std::string(5000, 'x'));
  world_.commit();
  volume().unlink(kRootIno, "a");
  forget(ino_);
  world_.commit();
  EXPECT_THAT(world_.store().memory().references().size(), 1u) << "one leaf is left";
}

}  // namespace
}  // namespace varve::test
