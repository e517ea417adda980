// SPDX-License-Identifier: Apache-2.0
#include "snapshot/diff.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/snapshot/small_fs.h"

namespace varve::test {
namespace {

using Differences = std::map<Key, std::pair<std::optional<Bytes>, std::optional<Bytes>>>;

Differences diff_of(const Tree& before, const Tree& after) {
  Differences out;
  std::optional<Key> last;
  diff_records(before, after,
               [&](const Key& key, const std::optional<Bytes>& a, const std::optional<Bytes>& b) {
                 EXPECT_TRUE(!last || *last < key);
                 last = key;
                 out[key] = {a, b};
               });
  return out;
}

Differences difference(const Contents& before, const Contents& after) {
  Differences out;
  for (const auto& [key, value] : before) {
    const auto other = after.find(key);
    if (other == after.end()) {
      out[key] = {value, std::nullopt};
    } else if (other->second != value) {
      out[key] = {value, other->second};
    }
  }
  for (const auto& [key, value] : after) {
    if (!before.contains(key)) out[key] = {std::nullopt, value};
  }
  return out;
}

TEST(DiffRecords, AgreesWithComparingEverything) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    TreeWorld world;
    std::vector<std::pair<std::optional<Ptr>, Contents>> versions{{std::nullopt, {}}};
    for (Txg txg = 1; txg <= 12; ++txg) {
      Edits edits;
      const std::uint64_t span = random() % 2 == 0 ? 2000 : 40;
      const std::uint64_t base = random() % 2000;
      const std::uint64_t count = random() % 5 == 0 ? 600 : random() % 20;
      for (std::uint64_t i = 0; i < count; ++i) {
        edits[key_of(base + random() % span)] =
            random() % 3 == 0 ? std::nullopt
                              : std::optional(bytes_of(std::to_string(random() % 50)));
      }
      // Parent txg above all births: older versions stay readable.
      world.edit(edits, txg, txg - 1);
      versions.emplace_back(world.root(), world.contents());
    }
    for (int i = 0; i < 25; ++i) {
      const auto& [a, before] = versions[random() % versions.size()];
      const auto& [b, after] = versions[random() % versions.size()];
      ASSERT_EQ(diff_of(Tree(world.cache_, a), Tree(world.cache_, b)), difference(before, after));
    }
  }
}

TEST(DiffRecords, ReadsOnlyWhatChanged) {
  TreeWorld world(NodeLimits{});
  Edits edits;
  for (std::uint64_t i = 0; i < 60000; ++i) {
    edits[key_of(i)] = bytes_of("record number " + std::to_string(i));
  }
  world.edit(edits, 1);
  const auto before = world.root();
  const std::size_t all = world.nodes();
  edits.clear();
  for (std::uint64_t i = 1; i <= 5; ++i) edits[key_of(i * 10000)] = bytes_of("changed");
  world.edit(edits, 2, 1);
  NodeCache cold(world.objects_, 0);
  const std::uint64_t reads = world.objects_.reads();
  EXPECT_EQ(diff_of(Tree(cold, before), Tree(cold, world.root())).size(), 5u);
  EXPECT_LE(world.objects_.reads() - reads, 2u * 5 * world.height());
  EXPECT_GT(all, 100u);
}

TEST(DiffRecords, SkipsWhatIsEqualInTreesOfOtherHeights) {
  TreeWorld world;
  Edits edits;
  for (std::uint64_t i = 0; i < 100; ++i) edits[key_of(i)] = bytes_of(std::to_string(i));
  world.edit(edits, 1);
  const auto before = world.root();
  edits.clear();
  for (std::uint64_t i = 1000; i < 4000; ++i) edits[key_of(i)] = bytes_of(std::to_string(i));
  world.edit(edits, 2, 1);
  const Differences found = diff_of(Tree(world.cache_, before), world.tree());
  EXPECT_EQ(found.size(), 3000u);
  EXPECT_EQ(diff_of(world.tree(), Tree(world.cache_, before)).size(), 3000u);
}

// ---- paths -------------------------------------------------------------------------------------

std::vector<std::string> lines(const std::vector<PathChange>& changes) {
  std::vector<std::string> out;
  for (const PathChange& change : changes) {
    std::string line(1, "+-MR"[static_cast<int>(change.what)]);
    if (!change.old_path.empty()) line += " " + change.old_path + " ->";
    line += " " + change.path;
    if (change.content) line += " content";
    if (change.metadata) line += " metadata";
    out.push_back(line);
  }
  return out;
}
std::vector<std::string> lines(const Tree& before, const Tree& after) {
  return lines(diff_paths(before, after));
}
using Lines = std::vector<std::string>;

TEST(DiffPaths, NamesWhatCameWentAndChanged) {
  SmallFs fs;
  fs.directory("/d");
  const Ino a = fs.file("/d/a", "one");
  fs.file("/d/b", "two");
  const Ino c = fs.file("/c", "three");
  const Tree before = fs.commit();
  fs.write(a, "ONE");
  fs.unlink("/d/b");
  fs.edit(c).mode = 0100600;
  fs.touch(c);
  fs.directory("/e");
  fs.file("/e/new");
  const Tree after = fs.commit();
  EXPECT_EQ(lines(before, after),
            (Lines{"M /c metadata", "M /d/a content", "- /d/b", "+ /e", "+ /e/new"}));
  EXPECT_EQ(lines(after, before),
            (Lines{"M /c metadata", "M /d/a content", "+ /d/b", "- /e", "- /e/new"}));
  EXPECT_TRUE(lines(after, after).empty());
}

TEST(DiffPaths, LeavesOutWhatOnlyHasOtherTimes) {
  SmallFs fs;
  const Ino d = fs.directory("/d");
  const Ino a = fs.file("/d/a", "same");
  const Ino r = fs.file("/d/r");
  fs.write_region(r, "region");
  const Tree before = fs.commit();
  fs.touch(d);
  fs.touch(a);
  fs.touch(kRootIno);
  fs.write_region(r, "region");  // the same bytes with a new birth
  EXPECT_TRUE(lines(before, fs.commit()).empty());
}

TEST(DiffPaths, RecognisesRenamesByInode) {
  SmallFs fs;
  fs.directory("/old");
  fs.file("/old/inside", "x");
  const Ino moved = fs.file("/moved", "data");
  const Tree before = fs.commit();
  fs.rename("/moved", "/old/renamed");
  fs.write(moved, "other data");
  const Tree middle = fs.commit();
  EXPECT_EQ(lines(before, middle), (Lines{"R /moved -> /old/renamed content"}));
  fs.rename("/old", "/new");  // the files below keep their entries
  EXPECT_EQ(lines(middle, fs.commit()), (Lines{"R /old -> /new"}));
}

TEST(DiffPaths, ReportsChangesBelowARenamedDirectoryByTheirNewPaths) {
  SmallFs fs;
  fs.directory("/old");
  const Ino file = fs.file("/old/file", "x");
  const Tree before = fs.commit();
  fs.write(file, "y");
  fs.rename("/old", "/new");
  EXPECT_EQ(lines(before, fs.commit()), (Lines{"R /old -> /new", "M /new/file content"}));
}

TEST(DiffPaths, ReportsEachNameOfAFileWithSeveral) {
  SmallFs fs;
  const Ino file = fs.file("/a", "x");
  const Tree before = fs.commit();
  fs.link("/b", file);
  const Tree linked = fs.commit();
  EXPECT_EQ(lines(before, linked), (Lines{"+ /b"}));
  fs.write(file, "y");
  fs.link("/c", file);
  const Tree changed = fs.commit();
  const Lines found = lines(linked, changed);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0] == "M /a content" || found[0] == "M /b content") << found[0];
  EXPECT_EQ(found[1], "+ /c");
  fs.unlink("/a");
  EXPECT_EQ(lines(changed, fs.commit()), (Lines{"- /a"}));
}

TEST(DiffPaths, CallsAReplacedFileModified) {
  SmallFs fs;
  fs.file("/config", "one");
  fs.file("/same", "same");
  const Tree before = fs.commit();
  fs.unlink("/config");
  fs.file("/config", "two");
  fs.unlink("/same");
  fs.file("/same", "same");
  EXPECT_EQ(lines(before, fs.commit()), (Lines{"M /config content"}));
}

TEST(DiffPaths, TellsNewTypesFromChanges) {
  SmallFs fs;
  fs.file("/x", "one");
  const Tree before = fs.commit();
  fs.unlink("/x");
  fs.directory("/x");
  EXPECT_EQ(lines(before, fs.commit()), (Lines{"- /x", "+ /x"}));
}

TEST(DiffPaths, SeesExtendedAttributesDevicesAndTargets) {
  SmallFs fs;
  const Ino file = fs.file("/file", "x");
  const Ino device = fs.make("/null", 0020666);
  const Ino directory = fs.directory("/directory");
  const Tree before = fs.commit();
  fs.set_xattr(file, "user.note", "text");
  fs.edit(device).rdev = 0x103;
  fs.touch(device);
  fs.set_xattr(directory, "user.note", "text");
  EXPECT_EQ(lines(before, fs.commit()),
            (Lines{"M /directory metadata", "M /file metadata", "M /null content"}));
}

TEST(DiffPaths, KeepsFilesOfTwoBranchesApartThatHaveOneNumber) {
  SmallFs fs;
  fs.file("/common", "x");
  const Tree origin = fs.commit();
  const std::uint64_t next = fs.next_ino();
  fs.file("/left", "l");
  const Tree left = fs.commit();
  fs.branch(origin, next);
  fs.file("/right", "r");
  const Tree right = fs.commit();
  EXPECT_EQ(lines(left, right), (Lines{"- /left", "+ /right"}));
}

TEST(DiffPaths, FromNothingListsAll) {
  SmallFs fs;
  fs.directory("/d");
  fs.file("/d/f");
  const Tree tree = fs.commit();
  const Tree empty(fs.world().cache_, std::nullopt);
  EXPECT_EQ(lines(empty, tree), (Lines{"+ /d", "+ /d/f"}));
  EXPECT_EQ(lines(tree, empty), (Lines{"- /d", "- /d/f"}));
}

TEST(PathOf, ClimbsToTheRoot) {
  SmallFs fs;
  fs.directory("/a");
  fs.directory("/a/b");
  const Ino file = fs.file("/a/b/c");
  const Tree tree = fs.commit();
  EXPECT_EQ(path_of(tree, file), "/a/b/c");
  EXPECT_EQ(path_of(tree, kRootIno), "/");
  EXPECT_EQ(path_of(tree, Ino{999}), "");
}

TEST(PathOf, ChoosesOneOfSeveralNames) {
  SmallFs fs;
  fs.directory("/d");
  const Ino file = fs.file("/d/x");
  fs.link("/y", file);
  EXPECT_EQ(path_of(fs.commit(), file), "/y");  // the root is the smaller parent
}

TEST(PathOf, EndsInACycleOfDamagedParents) {
  SmallFs fs;
  const Ino a = fs.directory("/a");
  const Ino b = fs.directory("/a/b");
  fs.edit(a).parent = b;
  fs.edit(a).name_cookie = fs.edit(b).name_cookie;
  fs.touch(a);
  EXPECT_EQ(path_of(fs.commit(), b), "");
}

}  // namespace
}  // namespace varve::test
