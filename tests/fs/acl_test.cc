// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "fs/attached_volume.h"
#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

using Tag = Acl::Tag;

struct AclEntry {
  Tag tag;
  unsigned permissions;
  std::uint32_t id = Acl::kUndefinedId;
};

Bytes value_of(const std::vector<AclEntry>& entries, std::uint32_t version = 2) {
  Bytes bytes;
  ByteWriter out(bytes);
  out.u32(version);
  for (const AclEntry& entry : entries) {
    out.u16(static_cast<std::uint16_t>(entry.tag));
    out.u16(static_cast<std::uint16_t>(entry.permissions));
    out.u32(entry.id);
  }
  return bytes;
}

const std::vector<AclEntry> kNamed{{Tag::kUserObj, 7},  {Tag::kUser, 6, 1000},
                                   {Tag::kGroupObj, 5}, {Tag::kGroup, 4, 100},
                                   {Tag::kMask, 6},     {Tag::kOther, 1}};

int parse_errno(const Bytes& value) {
  return errno_of([&] { Acl::parse(value); });
}

TEST(Acl, SerializesWhatItParsed) {
  const Bytes value = value_of(kNamed);
  EXPECT_EQ(Acl::parse(value)->serialize(), value);
}

TEST(Acl, IsAbsentWithoutEntries) {
  EXPECT_FALSE(Acl::parse({}).has_value());
  EXPECT_FALSE(Acl::parse(value_of({})).has_value());
}

TEST(Acl, RefusesMalformedValues) {
  EXPECT_EQ(parse_errno(Bytes(3)), EINVAL);
  EXPECT_EQ(parse_errno(value_of(kNamed, 1)), EOPNOTSUPP);
  Bytes cut = value_of(kNamed);
  cut.pop_back();
  EXPECT_EQ(parse_errno(cut), EINVAL);
  EXPECT_EQ(parse_errno(value_of({{Tag{3}, 7}})), EINVAL);
  EXPECT_EQ(parse_errno(value_of({{Tag::kUserObj, 8}, {Tag::kGroupObj, 1}, {Tag::kOther, 1}})),
            EINVAL);
}

TEST(Acl, RefusesIncompleteDisorderedAndRepeatedEntries) {
  EXPECT_EQ(parse_errno(value_of({{Tag::kUserObj, 7}, {Tag::kGroupObj, 5}})), EINVAL);
  EXPECT_EQ(parse_errno(value_of({{Tag::kGroupObj, 7}, {Tag::kUserObj, 5}, {Tag::kOther, 0}})),
            EINVAL);
  EXPECT_EQ(parse_errno(value_of(
                {{Tag::kUserObj, 7}, {Tag::kUserObj, 7}, {Tag::kGroupObj, 5}, {Tag::kOther, 0}})),
            EINVAL);
  // A named entry without a mask, and one without an id.
  EXPECT_EQ(parse_errno(value_of(
                {{Tag::kUserObj, 7}, {Tag::kUser, 7, 1}, {Tag::kGroupObj, 5}, {Tag::kOther, 0}})),
            EINVAL);
  EXPECT_EQ(parse_errno(value_of({{Tag::kUserObj, 7},
                                  {Tag::kUser, 7},
                                  {Tag::kGroupObj, 5},
                                  {Tag::kMask, 7},
                                  {Tag::kOther, 0}})),
            EINVAL);
}

TEST(Acl, ShowsItsMaskAsTheGroupsPermissions) {
  EXPECT_EQ(Acl::parse(value_of(kNamed))->permission_bits(), 0761u);
  const Acl plain =
      *Acl::parse(value_of({{Tag::kUserObj, 6}, {Tag::kGroupObj, 4}, {Tag::kOther, 0}}));
  EXPECT_EQ(plain.permission_bits(), 0640u);
  EXPECT_TRUE(plain.is_mode_only());
  EXPECT_FALSE(Acl::parse(value_of(kNamed))->is_mode_only());
}

TEST(Acl, TakesChmodIntoItsMask) {
  Acl acl = *Acl::parse(value_of(kNamed));
  acl.change_mode(0512);
  EXPECT_EQ(acl.permission_bits(), 0512u);
  EXPECT_EQ(acl.entries()[2].permissions, 5u) << "the owning group keeps its entry";
}

TEST(Acl, MasksTheModeOfANewFile) {
  Acl acl = *Acl::parse(value_of(kNamed));
  EXPECT_EQ(acl.inherit(04644), 04640u);
  EXPECT_EQ(acl.permission_bits(), 0640u);
  EXPECT_EQ(acl.entries()[1].permissions, 6u) << "named entries are masked, not changed";
}

// ---- in a volume
// ---------------------------------------------------------------------------------

class AclInVolume : public VolumeTest {
 protected:
  void set(Ino ino, std::string_view name, const Bytes& value, bool clear_setgid = false) {
    volume().set_xattr(ino, name, value, XattrMode::kAny, clear_setgid);
  }
};

TEST_F(AclInVolume, AccessAclShowsInTheMode) {
  const Ino ino = file("a");
  const Time time = tick();
  set(ino, kAccessAclName, value_of(kNamed));
  EXPECT_EQ(stat(ino).mode, S_IFREG | 0761u);
  EXPECT_EQ(stat(ino).ctime, time);
  EXPECT_EQ(volume().get_xattr(ino, kAccessAclName), value_of(kNamed));
}

TEST_F(AclInVolume, AccessAclThatTheModeSaysIsNotKept) {
  const Ino ino = file("a");
  set(ino, kAccessAclName, value_of(kNamed));
  set(ino, kAccessAclName, value_of({{Tag::kUserObj, 6}, {Tag::kGroupObj, 2}, {Tag::kOther, 1}}));
  EXPECT_EQ(stat(ino).mode, S_IFREG | 0621u);
  EXPECT_FALSE(volume().get_xattr(ino, kAccessAclName).has_value());
  EXPECT_THAT(volume().list_xattrs(ino), testing::IsEmpty());
}

TEST_F(AclInVolume, ChmodChangesTheAccessAcl) {
  const Ino ino = file("a");
  set(ino, kAccessAclName, value_of(kNamed));
  SetAttributes change;
  change.mode = 0600;
  volume().setattr(ino, change, caller_);
  const Acl acl = *Acl::parse(*volume().get_xattr(ino, kAccessAclName));
  EXPECT_EQ(acl.permission_bits(), 0600u);
  EXPECT_EQ(acl.entries().size(), 6u);
}

TEST_F(AclInVolume, SetgidIsClearedWhenTheKernelAsks) {
  const Ino ino = file("a", kRootIno, 02755);
  set(ino, kAccessAclName, value_of(kNamed), false);
  EXPECT_EQ(stat(ino).mode, S_IFREG | 02761u);
  set(ino, kAccessAclName, value_of(kNamed), true);
  EXPECT_EQ(stat(ino).mode, S_IFREG | 0761u);
}

TEST_F(AclInVolume, DefaultAclIsForDirectoriesOnly) {
  const Ino ino = file("a");
  EXPECT_EQ(errno_of([&] { set(ino, kDefaultAclName, value_of(kNamed)); }), EACCES);
  EXPECT_EQ(errno_of([&] { set(ino, kDefaultAclName, {}); }), 0);
  const Ino link = volume().make_symlink(kRootIno, "l", "target", caller_).ino;
  EXPECT_EQ(errno_of([&] { set(link, kAccessAclName, value_of(kNamed)); }), EOPNOTSUPP);
}

TEST_F(AclInVolume, DefaultAclTakesThePlaceOfTheUmask) {
  caller_.umask = 077;
  const Ino parent = directory("d");
  set(parent, kDefaultAclName, value_of(kNamed));
  const Ino ino = file("a", parent, 0666);
  EXPECT_EQ(stat(ino).mode, S_IFREG | 0660u);
  EXPECT_EQ(Acl::parse(*volume().get_xattr(ino, kAccessAclName))->permission_bits(), 0660u);
  EXPECT_FALSE(volume().get_xattr(ino, kDefaultAclName).has_value());
}

TEST_F(AclInVolume, DirectoriesHandTheDefaultAclDown) {
  const Ino parent = directory("d");
  set(parent, kDefaultAclName, value_of(kNamed));
  const Ino child = directory("e", parent, 0777);
  EXPECT_EQ(volume().get_xattr(child, kDefaultAclName), value_of(kNamed));
  const Ino grandchild = volume().make_temporary(child, 0666, caller_).ino;
  EXPECT_TRUE(volume().get_xattr(grandchild, kAccessAclName).has_value());
}

TEST_F(AclInVolume, DefaultAclWithoutNamesLeavesNoAccessAcl) {
  caller_.umask = 0;
  const Ino parent = directory("d");
  set(parent, kDefaultAclName,
      value_of({{Tag::kUserObj, 6}, {Tag::kGroupObj, 4}, {Tag::kOther, 0}}));
  const Ino ino = file("a", parent, 0777);
  EXPECT_EQ(stat(ino).mode, S_IFREG | 0640u);
  EXPECT_THAT(volume().list_xattrs(ino), testing::IsEmpty());
}

TEST_F(AclInVolume, SymlinksInheritNothing) {
  caller_.umask = 077;
  const Ino parent = directory("d");
  set(parent, kDefaultAclName, value_of(kNamed));
  const Ino link = volume().make_symlink(parent, "l", "target", caller_).ino;
  EXPECT_EQ(stat(link).mode, S_IFLNK | 0777u);
  EXPECT_THAT(volume().list_xattrs(link), testing::IsEmpty());
}

TEST_F(AclInVolume, LongAclsSurviveACommit) {
  std::vector<AclEntry> entries{{Tag::kUserObj, 7}};
  for (std::uint32_t id = 1; id <= 400; ++id) entries.push_back({Tag::kUser, 5, id});
  entries.insert(entries.end(), {{Tag::kGroupObj, 5}, {Tag::kMask, 7}, {Tag::kOther, 0}});
  const Ino parent = directory("d");
  set(parent, kDefaultAclName, value_of(entries));
  world_.commit();
  world_.store().memory().refuse_first_touch(true);
  const Ino ino = file("a", parent, 0644);
  EXPECT_EQ(volume().get_xattr(ino, kAccessAclName)->size(), value_of(entries).size());
}

TEST_F(AclInVolume, RemovingAnAbsentAclSucceeds) {
  const Ino ino = file("a");
  EXPECT_EQ(errno_of([&] { volume().remove_xattr(ino, kAccessAclName); }), 0);
  set(ino, kAccessAclName, value_of(kNamed));
  volume().remove_xattr(ino, kAccessAclName);
  EXPECT_EQ(stat(ino).mode, S_IFREG | 0761u) << "the mode stays";
}

}  // namespace
}  // namespace varve::test
