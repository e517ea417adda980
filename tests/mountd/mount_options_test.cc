// SPDX-License-Identifier: Apache-2.0
#include "mountd/mount_options.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

MountOptions parsed(std::string_view text) {
  MountOptions options;
  parse_mount_options(text, options);
  return options;
}

TEST(MountOptions, WordsAreApplied) {
  const MountOptions options =
      parsed("ro,allow_other,nosuid,nodev,noexec,noatime,noxattr,noacl,writeback,create");
  EXPECT_TRUE(options.fuse.read_only);
  EXPECT_EQ(options.allow_other, true);
  EXPECT_TRUE(options.fuse.nosuid);
  EXPECT_TRUE(options.fuse.nodev);
  EXPECT_TRUE(options.fuse.noexec);
  EXPECT_TRUE(options.fuse.noatime);
  EXPECT_TRUE(options.fuse.noxattr);
  EXPECT_FALSE(options.fuse.acl);
  EXPECT_TRUE(options.fuse.writeback);
  EXPECT_TRUE(options.create);
}

TEST(MountOptions, NothingSaidLeavesTheDefaults) {
  const MountOptions options = parsed("");
  EXPECT_FALSE(options.fuse.read_only);
  EXPECT_EQ(options.allow_other, std::nullopt);
  EXPECT_EQ(options.store, std::nullopt);
  EXPECT_EQ(options.fuse.transport, FuseMount::Transport::kPlain);
}

TEST(MountOptions, TheLastWordCounts) {
  EXPECT_FALSE(parsed("ro,rw").fuse.read_only);
  EXPECT_TRUE(parsed("noacl,acl").fuse.acl);
  EXPECT_TRUE(parsed("").fuse.snapshots);
  EXPECT_FALSE(parsed("nosnapshots").fuse.snapshots);
  EXPECT_TRUE(parsed("nosnapshots,snapshots").fuse.snapshots);
  EXPECT_EQ(parsed("allow_other,private").allow_other, false);
  EXPECT_FALSE(parsed("nosuid,suid,noexec,exec,nodev,dev").fuse.nosuid);
}

TEST(MountOptions, ValuesAreTaken) {
  const MountOptions options =
      parsed("transport=uring,store=/srv/a store,fsname=data,max_threads=4");
  EXPECT_EQ(options.fuse.transport, FuseMount::Transport::kUring);
  EXPECT_EQ(options.store, "/srv/a store");
  EXPECT_EQ(options.fuse.fsname, "data");
  EXPECT_EQ(options.fuse.max_threads, 4u);
}

TEST(MountOptions, WordsOfMountAndFstabAreAccepted) {
  EXPECT_NO_THROW(
      parsed("defaults,rw,noauto,user,users,_netdev,nofail,x-systemd.automount,"
             "x-systemd.requires=network.target,X-mount.mkdir,comment=hello,relatime"));
}

TEST(MountOptions, EmptyWordsDoNothing) { EXPECT_TRUE(parsed(",,ro,,").fuse.read_only); }

TEST(MountOptions, UnknownWordsAreRefusedByName) {
  for (const char* word :
       {"bogus", "ro=1", "transport", "RO", "store", "big_writes", "x", "sync"}) {
    SCOPED_TRACE(word);
    try {
      parsed(std::string("rw,") + word);
      ADD_FAILURE() << "was accepted";
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), EINVAL);
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos);
    }
  }
}

TEST(MountOptions, ValuesThatDoNotParseAreRefused) {
  for (const char* word : {"transport=carrier-pigeon", "transport=", "max_threads=0",
                           "max_threads=-1", "max_threads=x", "max_threads=100000"}) {
    SCOPED_TRACE(word);
    EXPECT_THROW(parsed(word), UserError);
  }
}

TEST(MountOptions, TheTextOfOptionsInForceParsesAgain) {
  const MountOptions options = parsed("ro,allow_other,noatime,transport=uring");
  FuseMount::Options in_force = options.fuse;
  in_force.allow_other = true;
  const std::string text = mount_options_text(in_force, true);
  EXPECT_EQ(text, "ro,allow_other,noatime,transport=uring");
  EXPECT_NO_THROW(parsed(text));
}

}  // namespace
}  // namespace varve
