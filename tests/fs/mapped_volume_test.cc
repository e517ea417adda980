// SPDX-License-Identifier: Apache-2.0
#include "fs/mapped_volume.h"

#include <gtest/gtest.h>

#include "fs/acl.h"
#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

std::string id_map_error(const std::string& text) {
  try {
    IdMap::parse(text);
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), EINVAL);
    return error.what();
  }
  return "";
}

TEST(IdMapTest, ShowsRangesAndBack) {
  const IdMap map = IdMap::parse("0:100000:65536+70000:7");
  EXPECT_EQ(map.shown(0), 100000u);
  EXPECT_EQ(map.shown(65535), 165535u);
  EXPECT_EQ(map.shown(65536), IdMap::kOverflowId);
  EXPECT_EQ(map.shown(70000), 7u);
  EXPECT_EQ(map.stored(100001), 1u);
  EXPECT_EQ(map.stored(7), 70000u);
  EXPECT_EQ(map.stored(0), std::nullopt);
  EXPECT_EQ(map.text(), "0:100000:65536+70000:7:1");
  EXPECT_EQ(IdMap::parse(map.text()), map);
}

TEST(IdMapTest, AnEmptyMapChangesNothing) {
  const IdMap map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.shown(4), 4u);
  EXPECT_EQ(map.stored(4), 4u);
}

TEST(IdMapTest, RefusesWhatIsNoMap) {
  for (const char* text : {"", "1", "1:2:0", "a:2:3", "1:2:3:4", "1:2:3+", "-1:2:3",
                           "1:2:4294967295", "4294967295:0:1", "1: 2:3"})
    EXPECT_NE(id_map_error(text), "") << text;
  EXPECT_NE(id_map_error("0:0:10+5:100:1").find("twice"), std::string::npos);
  EXPECT_NE(id_map_error("0:0:10+50:9:1").find("twice"), std::string::npos);
  EXPECT_EQ(id_map_error("0:0:10+10:10:1"), "");
}

TEST(SquashTest, TakesOneNumberForBoth) {
  EXPECT_EQ(parse_squash("5"), (IdMapping::Squash{5, 5}));
  EXPECT_EQ(parse_squash("5:6"), (IdMapping::Squash{5, 6}));
  for (const char* text : {"", ":", "5:", "x", "5:6:7"})
    EXPECT_THROW(parse_squash(text), UserError);
}

class MappedVolumeTest : public VolumeTest {
 protected:
  std::shared_ptr<Volume> shown_as(const char* users, const char* groups) {
    IdMapping mapping;
    mapping.users = IdMap::parse(users);
    mapping.groups = IdMap::parse(groups);
    return with_mapping(std::shared_ptr<Volume>(std::shared_ptr<void>(), &volume()), mapping);
  }
  std::shared_ptr<Volume> squashed(std::uint32_t uid, std::uint32_t gid) {
    IdMapping mapping;
    mapping.squash = {uid, gid};
    return with_mapping(std::shared_ptr<Volume>(std::shared_ptr<void>(), &volume()), mapping);
  }
};

TEST_F(MappedVolumeTest, OneFileIsShownInTwoWaysAtOnce) {
  const Ino ino = volume().make_node(kRootIno, "f", S_IFREG | 0644, 0, {10, 20, 0}).ino;
  const auto first = shown_as("10:1000:1", "20:2000:1");
  const auto second = shown_as("0:500:100", "0:600:100");
  EXPECT_EQ(first->getattr(ino).uid, 1000u);
  EXPECT_EQ(first->getattr(ino).gid, 2000u);
  EXPECT_EQ(second->getattr(ino).uid, 510u);
  EXPECT_EQ(second->getattr(ino).gid, 620u);
  EXPECT_EQ(stat(ino).uid, 10u);
  EXPECT_EQ(first->lookup(kRootIno, "f")->uid, 1000u);
  std::vector<std::uint32_t> owners;
  second->read_directory(kRootIno, 0, true, [&](const DirectoryEntry& entry) {
    if (entry.name == "f") owners.push_back(entry.attributes->uid);
    return true;
  });
  EXPECT_EQ(owners, std::vector<std::uint32_t>{510});
  forget(ino);
}

TEST_F(MappedVolumeTest, NewFilesAreStoredAsTheMapSays) {
  const auto mapped = shown_as("0:1000:10", "0:1000:10");
  const Attributes made = mapped->make_directory(kRootIno, "d", 0755, {1003, 1004, 0});
  EXPECT_EQ(made.uid, 1003u);
  EXPECT_EQ(stat(made.ino).uid, 3u);
  EXPECT_EQ(stat(made.ino).gid, 4u);
  EXPECT_EQ(errno_of([&] {
              mapped->make_node(kRootIno, "x", S_IFREG, 0, {0, 1000, 0});
            }),
            EOVERFLOW);
  EXPECT_EQ(find("x"), std::nullopt);
  forget(made.ino);
}

TEST_F(MappedVolumeTest, ChownStoresTheMappedOwner) {
  const auto mapped = shown_as("0:1000:10", "0:1000:10");
  SetAttributes change;
  change.uid = 1005;
  change.gid = 1006;
  EXPECT_EQ(mapped->setattr(kRootIno, change, {}).uid, 1005u);
  EXPECT_EQ(stat(kRootIno).uid, 5u);
  EXPECT_EQ(stat(kRootIno).gid, 6u);
  change.uid = 5;
  EXPECT_EQ(errno_of([&] { mapped->setattr(kRootIno, change, {}); }), EINVAL);
  EXPECT_EQ(stat(kRootIno).uid, 5u);
}

TEST_F(MappedVolumeTest, IdsInAccessControlListsAreMappedToo) {
  const auto mapped = shown_as("0:1000:10", "0:2000:10");
  const auto acl_of = [](std::uint32_t user, std::uint32_t group) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(2);
    const auto entry = [&](unsigned tag, std::uint32_t id) {
      out.u16(static_cast<std::uint16_t>(tag));
      out.u16(7);
      out.u32(id);
    };
    entry(0x01, Acl::kUndefinedId);
    entry(0x02, user);
    entry(0x04, Acl::kUndefinedId);
    entry(0x08, group);
    entry(0x10, Acl::kUndefinedId);
    entry(0x20, Acl::kUndefinedId);
    return bytes;
  };
  mapped->set_xattr(kRootIno, kAccessAclName, acl_of(1001, 2002), XattrMode::kAny, false);
  EXPECT_EQ(volume().get_xattr(kRootIno, kAccessAclName), acl_of(1, 2));
  EXPECT_EQ(mapped->get_xattr(kRootIno, kAccessAclName), acl_of(1001, 2002));
  EXPECT_EQ(errno_of([&] {
              mapped->set_xattr(kRootIno, kAccessAclName, acl_of(1, 2002), XattrMode::kAny, false);
            }),
            EINVAL);
}

TEST_F(MappedVolumeTest, SquashShowsAndStoresOneOwner) {
  const Ino ino = volume().make_node(kRootIno, "f", S_IFREG | 0644, 0, {10, 20, 0}).ino;
  const auto mapped = squashed(33, 44);
  EXPECT_EQ(mapped->getattr(ino).uid, 33u);
  EXPECT_EQ(mapped->getattr(ino).gid, 44u);
  SetAttributes change;
  change.uid = 7;
  change.mode = 0600;
  EXPECT_EQ(mapped->setattr(ino, change, {7, 7, 0}).uid, 33u);
  EXPECT_EQ(stat(ino).uid, 10u);
  EXPECT_EQ(stat(ino).mode & 07777, 0600u);
  const Ino made = mapped->make_node(kRootIno, "g", S_IFREG, 0, {7, 7, 0}).ino;
  EXPECT_EQ(stat(made).uid, 33u);
  EXPECT_EQ(stat(made).gid, 44u);
  forget(ino);
  forget(made);
}

TEST_F(MappedVolumeTest, NoMappingIsNoWrapper) {
  const std::shared_ptr<Volume> plain(std::shared_ptr<void>(), &volume());
  EXPECT_EQ(with_mapping(plain, {}), plain);
}

}  // namespace
}  // namespace varve::test
