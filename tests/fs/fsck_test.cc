// SPDX-License-Identifier: Apache-2.0
#include "fs/fsck.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "snapshot/tree_edit.h"
#include "store/base/error.h"
#include "tests/support/damaged_store.h"

namespace varve::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class FsckTest : public testing::Test {
 protected:
  FsckTest() {
    store_.create_volume("a");
    const auto volume = store_->attach("a");
    for (unsigned i = 0; i < 20; ++i) {
      write_file(*volume, "f" + std::to_string(i), pattern(30'000, i));
    }
    store_->create_snapshot("a", "s", {});
    for (unsigned i = 0; i < 10; ++i) remove_file(*volume, "f" + std::to_string(i));
  }

  /// Runs SQL on the closed store's index.
  void alter_index(const std::string& sql) {
    store_.close();
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open((store_.path() + "/index.db").c_str(), &handle), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK)
        << (message != nullptr ? message : "");
    sqlite3_close(handle);
  }
  FsckReport check(bool repair) {
    return check_store(Disk::host(), store_.path(), store_.options(), repair);
  }
  /// Finds a problem that says `text`, repairs it, and nothing is lost.
  void expect_found_and_repaired(const std::string& text) {
    const FsckReport found = check(false);
    EXPECT_THAT(found.problems, Contains(HasSubstr(text)));
    const FsckReport repaired = check(true);
    EXPECT_THAT(repaired.problems, IsEmpty());
    EXPECT_THAT(repaired.mended, Contains(HasSubstr(text)));
    const FsckReport after = check(true);
    EXPECT_THAT(after.problems, IsEmpty());
    EXPECT_THAT(after.mended, IsEmpty());
    store_.open();
    const auto volume = store_->attach("a");
    for (unsigned i = 10; i < 20; ++i) {
      EXPECT_EQ(read_file(*volume, "f" + std::to_string(i)), pattern(30'000, i));
    }
  }

  DamagedStore store_;
};

TEST_F(FsckTest, FindsNothingInASoundStore) {
  store_.close();
  const FsckReport report = check(false);
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_THAT(report.mended, IsEmpty());
  EXPECT_EQ(report.trees, 2u);
  EXPECT_EQ(report.inodes, 21u + 11u);
  EXPECT_GT(report.nodes, 0u);
  EXPECT_GT(report.objects, 20u);
  store_.open();
}

TEST_F(FsckTest, ACountThatIsTooHighIsFoundAndRepaired) {
  alter_index(
      "UPDATE objects SET refs = refs + 1 WHERE digest = "
      "(SELECT digest FROM objects WHERE kind = 0 AND refs > 0 LIMIT 1)");
  expect_found_and_repaired("references");
}

TEST_F(FsckTest, ACountThatIsTooLowIsFoundAndRepaired) {
  alter_index(
      "UPDATE objects SET refs = 0, dead_csn = 1 WHERE digest = "
      "(SELECT digest FROM objects WHERE kind = 0 AND refs > 0 LIMIT 1)");
  expect_found_and_repaired("references");
}

TEST_F(FsckTest, AWrongPlaceIsFoundAndRepaired) {
  alter_index(
      "UPDATE objects SET offset = offset + 8 WHERE digest = "
      "(SELECT digest FROM objects WHERE kind = 0 AND refs > 0 LIMIT 1)");
  expect_found_and_repaired("where no record of it is");
}

TEST_F(FsckTest, AMissingRowIsFoundAndRepaired) {
  alter_index(
      "DELETE FROM objects WHERE digest = "
      "(SELECT digest FROM objects WHERE kind = 0 AND refs > 0 LIMIT 1)");
  expect_found_and_repaired("the index counts 0 references");
}

TEST_F(FsckTest, AWrongTotalIsFoundAndRepaired) {
  alter_index("UPDATE meta SET value = value + 5 WHERE key = 'objects'");
  expect_found_and_repaired("total of objects");
}

TEST_F(FsckTest, DamageThatARebuildCannotRepairStays) {
  const Placement place = store_.object(store_.leaves("a").front())->placement;
  store_.damage(place.primary);
  store_.damage(place.mirror);
  store_.close();
  const FsckReport report = check(true);
  EXPECT_THAT(report.problems, Contains(HasSubstr("a: ")));
  EXPECT_THAT(report.problems, Contains(HasSubstr("the counts were not compared")));
  store_.open();
}

/// Writes records into a volume's tree that no operation would write.
TEST_F(FsckTest, RecordsThatContradictEachOtherAreFound) {
  const VolumeRow row = store_->catalog().volume("a").value();
  NodeCache cache(store_->store().objects(), 1 << 20);
  const Tree tree(cache, store_->catalog().node(row.head).root);
  const auto edit = [&](const Key& key, const std::optional<Bytes>& value) {
    const auto change = store_->catalog().begin();
    const Txg txg = change->next_txg(row.head);
    const std::vector<Change> changes{{key, value}};
    change->set_root(row.head,
                     edit_tree(cache, change->batch(), change->node(row.head).root, changes,
                               {txg, change->parent_txg(row.head), {}, nullptr}));
    change->finish(store_->store().journal().end());
  };
  InodeRecord root = InodeRecord::decode(*tree.find({kRootIno, Kind::kInode, 0}, Wait::kAllowed));
  root.nlink = 7;
  root.size += 1;
  edit({kRootIno, Kind::kInode, 0}, root.encode());
  edit({kHeadIno, Kind::kOrphan, 999}, Bytes());
  HeadInfoRecord head =
      HeadInfoRecord::decode(*tree.find({kHeadIno, Kind::kHeadInfo, 0}, Wait::kAllowed));
  head.inodes += 3;
  edit({kHeadIno, Kind::kHeadInfo, 0}, head.encode());
  const FsckReport report = store_->fsck();
  EXPECT_THAT(report.problems, Contains("a, inode 1: its link count is 7 and should be 2"));
  EXPECT_THAT(report.problems, Contains("a, inode 1: the directory's size is wrong"));
  EXPECT_THAT(report.problems, Contains(HasSubstr("the counter of inodes says")));
  EXPECT_THAT(report.problems, Contains(HasSubstr("a, inode 999")));
}

}  // namespace
}  // namespace varve::test
