// SPDX-License-Identifier: Apache-2.0
#include "fs/volume_changes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "tests/model/volume_workload.h"
#include "tests/support/repository_world.h"

namespace varve::test {
namespace {

using Name = std::pair<Ino, std::string>;

/// All that a kernel could have cached of a volume.
struct View {
  std::map<Ino, std::string> inodes;  ///< attributes, content and extended attributes as text
  std::map<Name, Ino> names;
};

std::string looks_of(Volume& volume, const Attributes& a) {
  std::string out;
  for (const std::uint64_t part :
       {std::uint64_t{a.mode}, std::uint64_t{a.nlink}, std::uint64_t{a.uid}, std::uint64_t{a.gid},
        a.rdev, a.size, a.blocks})
    out += std::to_string(part) + " ";
  for (const Time& time : {a.atime, a.mtime, a.ctime})
    out += std::to_string(time.seconds) + "." + std::to_string(time.nanoseconds) + " ";
  if (S_ISLNK(a.mode)) out += volume.readlink(a.ino);
  if (S_ISREG(a.mode)) {
    Bytes content(std::min<std::uint64_t>(a.size, 1 << 20));
    content.resize(volume.read(a.ino, 0, content));
    out.append(reinterpret_cast<const char*>(content.data()), content.size());
  }
  for (const std::string& name : volume.list_xattrs(a.ino)) {
    const Bytes value = volume.get_xattr(a.ino, name).value_or(Bytes{});
    out += name + "=" + std::string(reinterpret_cast<const char*>(value.data()), value.size());
  }
  return out;
}

void look(Volume& volume, Ino directory, View& out) {
  std::map<std::string, Ino> entries;
  volume.read_directory(directory, 0, false, [&](const DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..") entries[std::string(entry.name)] = entry.ino;
    return true;
  });
  const Attributes own = volume.getattr(directory);
  out.inodes[directory] = looks_of(volume, own);
  for (const auto& [name, ino] : entries) {
    out.names[{directory, name}] = ino;
    const Attributes attributes = volume.getattr(ino);
    if (S_ISDIR(attributes.mode))
      look(volume, ino, out);
    else
      out.inodes[ino] = looks_of(volume, attributes);
  }
}

View view_of(Volume& volume) {
  View out;
  look(volume, kRootIno, out);
  return out;
}

std::set<Ino> inodes_of(const VolumeChanges& changes) {
  std::set<Ino> out;
  Ino last{0};
  changes.each_inode([&](Ino ino) {
    EXPECT_LT(last, ino) << "each once, ascending";
    out.insert(last = ino);
  });
  return out;
}

std::set<Name> names_of(const VolumeChanges& changes) {
  std::set<Name> out;
  changes.each_name(
      [&](Ino directory, std::string_view name) { out.emplace(directory, std::string(name)); });
  return out;
}

/// What differs between the views and `changes` does not name.
void expect_complete(const View& before, const View& after, const VolumeChanges& changes) {
  const std::set<Ino> inodes = inodes_of(changes);
  const std::set<Name> names = names_of(changes);
  for (const View* view : {&before, &after}) {
    const View& other = view == &before ? after : before;
    for (const auto& [ino, text] : view->inodes) {
      const auto found = other.inodes.find(ino);
      if (found == other.inodes.end() || found->second != text) {
        EXPECT_TRUE(inodes.contains(ino)) << "inode " << to_integer(ino);
      }
    }
    for (const auto& [name, ino] : view->names) {
      const auto found = other.names.find(name);
      // A lookup of a name also shows the attributes of what it leads to.
      const bool differs = found == other.names.end() || found->second != ino;
      if (differs || (view == &after && inodes.contains(ino))) {
        EXPECT_TRUE(names.contains(name)) << to_integer(name.first) << "/" << name.second;
      }
    }
  }
}

class VolumeChangesTest : public testing::TestWithParam<int> {};

TEST_P(VolumeChangesTest, NameEverythingThatARollbackChanges) {
  VolumeWorkload::Options options;
  options.seed = static_cast<std::uint64_t>(GetParam());
  VolumeWorkload workload(options);
  RepositoryOptions repository = RepositoryWorld::default_options();
  repository.clock = workload.clock();
  RepositoryWorld world(repository);
  Repository::CreateVolume request;
  request.name = "a";
  world->create_volume(request);
  MemoryVolume reference(workload.clock());
  const std::shared_ptr<Volume> volume = world->attach("a");
  ASSERT_TRUE(workload.run(*volume, reference, 600));
  world->create_snapshot("a", "s", {});
  ASSERT_TRUE(workload.run(*volume, reference, 30 + 40 * static_cast<std::size_t>(GetParam() % 8)));

  const View before = view_of(*volume);
  std::shared_ptr<const VolumeChanges> changes;
  world->rollback("a", "s", [&](const auto& given) { changes = given; });
  ASSERT_NE(changes, nullptr);
  const View after = view_of(*volume);
  expect_complete(before, after, *changes);
}

INSTANTIATE_TEST_SUITE_P(Seeds, VolumeChangesTest, testing::Range(1, 17));

TEST(VolumeChanges, NameNothingElse) {
  RepositoryWorld world;
  Repository::CreateVolume request;
  request.name = "a";
  world->create_volume(request);
  const std::shared_ptr<Volume> volume = world->attach("a");
  for (int i = 0; i < 3000; ++i) write_file(*volume, "f" + std::to_string(i), pattern(10, 1));
  world->create_snapshot("a", "s", {});
  write_file(*volume, "f7", pattern(10, 2));
  remove_file(*volume, "f9");
  write_file(*volume, "new", pattern(10, 3));
  const Ino changed = volume->lookup(kRootIno, "f7")->ino;
  const Ino made = volume->lookup(kRootIno, "new")->ino;
  std::shared_ptr<const VolumeChanges> changes;
  world->rollback("a", "s", [&](const auto& given) { changes = given; });
  ASSERT_NE(changes, nullptr);
  const Ino returned = volume->lookup(kRootIno, "f9")->ino;
  EXPECT_EQ(inodes_of(*changes), (std::set<Ino>{kRootIno, changed, made, returned}));
  EXPECT_EQ(names_of(*changes),
            (std::set<Name>{{kRootIno, "f7"}, {kRootIno, "f9"}, {kRootIno, "new"}}));
}

}  // namespace
}  // namespace varve::test
