// SPDX-License-Identifier: Apache-2.0
#include "store/store_directory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "store/base/error.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using test::FaultDisk;
using test::TempDirectory;

StoreFormat example_format() {
  StoreFormat format;
  for (std::size_t i = 0; i < format.id.size(); ++i) format.id[i] = static_cast<std::byte>(i * 17);
  return format;
}

struct Refused {
  int code = 0;
  std::string what;
};

Refused refused(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

bool mentions(const Refused& error, const std::string& text) {
  return error.what.find(text) != std::string::npos;
}

TEST(StoreFormat, SaysEverythingInSixLines) {
  const std::string text = example_format().encode();
  EXPECT_EQ(text,
            "varve store\nformat: 1\nneeds: varve 0.1\nid: 00112233445566778899aabbccddeeff\n"
            "incompat:\ncompat:\n");
  const StoreFormat read = StoreFormat::decode(text, "FORMAT");
  EXPECT_EQ(read.id, example_format().id);
  EXPECT_EQ(read.version, 1u);
}

TEST(StoreFormat, IgnoresCompatibleFeatures) {
  StoreFormat format = example_format();
  format.compat = {"one", "two"};
  const StoreFormat read = StoreFormat::decode(format.encode(), "FORMAT");
  EXPECT_EQ(read.compat, format.compat);
}

TEST(StoreFormat, RefusesANewerFormatAndNamesTheReleaseThatCan) {
  const Refused error = refused([] {
    StoreFormat::decode("varve store\nformat: 2\nneeds: varve 3.1\nshape: unknown\n", "FORMAT");
  });
  EXPECT_EQ(error.code, ENOTSUP);
  EXPECT_TRUE(mentions(error, "format 2")) << error.what;
  EXPECT_TRUE(mentions(error, "varve 3.1 or later")) << error.what;
}

TEST(StoreFormat, RefusesAnUnknownFeatureAndNamesIt) {
  StoreFormat format = example_format();
  format.incompat = {"quantum-segments"};
  format.needs = "varve 9.0";
  const Refused error = refused([&] { StoreFormat::decode(format.encode(), "FORMAT"); });
  EXPECT_EQ(error.code, ENOTSUP);
  EXPECT_TRUE(mentions(error, "quantum-segments")) << error.what;
  EXPECT_TRUE(mentions(error, "varve 9.0 or later")) << error.what;
}

TEST(StoreFormat, CallsAnythingElseDamaged) {
  const std::string good = example_format().encode();
  for (const std::string& bad : {std::string(), std::string("varve store\n"), good + "more\n",
                                 good.substr(0, good.size() - 1), std::string("\0\0\0\0", 4),
                                 std::string("varve store\nformat: x\n")}) {
    EXPECT_THROW(StoreFormat::decode(bad, "FORMAT"), CorruptionError) << bad;
  }
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_THROW(StoreFormat::decode(good.substr(0, cut), "FORMAT"), CorruptionError) << cut;
  }
}

TEST(StoreDirectory, IsAStoreOnlyWhenFormatIsWritten) {
  const TempDirectory directory;
  FaultDisk disk;
  const std::string path = directory / "store";
  {
    StoreDirectory made = StoreDirectory::prepare(disk, path);
    EXPECT_FALSE(StoreDirectory::exists(disk, path));
    made.write_format(example_format());
  }
  EXPECT_TRUE(StoreDirectory::exists(disk, path));
  EXPECT_EQ(StoreDirectory::open(disk, path).format().id, example_format().id);
  EXPECT_EQ(refused([&] { StoreDirectory::prepare(disk, path); }).code, EEXIST);
}

TEST(StoreDirectory, RefusesADirectoryWithOtherThings) {
  const TempDirectory directory;
  std::ofstream(directory / "thesis.txt") << "three years of work";
  const Refused error = refused([&] { StoreDirectory::prepare(Disk::host(), directory.path()); });
  EXPECT_EQ(error.code, ENOTEMPTY);
  EXPECT_TRUE(mentions(error, "thesis.txt")) << error.what;
  EXPECT_TRUE(std::filesystem::exists(directory / "thesis.txt"));
}

TEST(StoreDirectory, ClearsTheRemainsOfAnInterruptedCreate) {
  const TempDirectory directory;
  FaultDisk disk;
  const std::string path = directory / "store";
  { StoreDirectory::prepare(disk, path); }
  std::ofstream(path + "/superblock") << "half";
  std::ofstream(path + "/journal/0000000000000000.log.new") << "half";
  EXPECT_EQ(refused([&] { StoreDirectory::open(disk, path); }).code, ENOENT);
  StoreDirectory again = StoreDirectory::prepare(disk, path);
  EXPECT_FALSE(disk.exists(path + "/superblock"));
  EXPECT_TRUE(disk.list(path + "/journal").empty());
}

TEST(StoreDirectory, SaysWhoHasIt) {
  const TempDirectory directory;
  FaultDisk disk;
  const std::string path = directory / "store";
  {
    StoreDirectory made = StoreDirectory::prepare(disk, path);
    made.write_format(example_format());
    const Refused error = refused([&] { StoreDirectory::open(disk, path); });
    EXPECT_EQ(error.code, EBUSY);
    EXPECT_TRUE(mentions(error, std::to_string(::getpid()))) << error.what;
  }
  StoreDirectory::open(disk, path);
}

TEST(StoreDirectory, OpensThoughTheDiskIsFull) {
  const TempDirectory directory;
  FaultDisk disk;
  const std::string path = directory / "store";
  StoreDirectory::prepare(disk, path).write_format(example_format());
  disk.plan().fail(test::DiskCall::kTruncate, 1, ENOSPC, true);
  disk.plan().fail(test::DiskCall::kWrite, 1, ENOSPC, true);
  EXPECT_EQ(StoreDirectory::open(disk, path).format().id, example_format().id);
}

TEST(StoreDirectory, SaysWhatIsMissing) {
  const TempDirectory directory;
  EXPECT_EQ(refused([&] { StoreDirectory::open(Disk::host(), directory / "none"); }).code, ENOENT);
  EXPECT_EQ(refused([&] { StoreDirectory::open(Disk::host(), directory.path()); }).code, ENOENT);
  EXPECT_FALSE(std::filesystem::exists(directory / "lock"));
}

TEST(StoreDirectory, DrawsADifferentIdEachTime) { EXPECT_NE(random_store_id(), random_store_id()); }

TEST(StorePaths, NamesJournalFilesByIndex) {
  EXPECT_EQ(StorePaths::journal_file_name(0x1f), "000000000000001f.log");
}

/// What somebody with fewer rights could have prepared for root to fall into.
class PlantedStore : public ::testing::Test {
 protected:
  PlantedStore() {
    std::filesystem::create_directory(store_);
    std::filesystem::create_directory(directory_ / "victim");
    std::ofstream(directory_ / "victim/precious") << "kept";
  }
  Refused prepare() {
    return refused([&] { StoreDirectory::prepare(Disk::host(), store_); });
  }
  void expect_victim_untouched() {
    EXPECT_TRUE(std::filesystem::exists(directory_ / "victim/precious"));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_ / "victim"), {}), 1);
  }

  TempDirectory directory_;
  const std::string store_ = directory_ / "store";
};

TEST_F(PlantedStore, ALinkInTheJournalsPlaceIsNotCleared) {
  std::filesystem::create_directory_symlink(directory_ / "victim", store_ + "/journal");
  const Refused said = prepare();
  EXPECT_EQ(said.code, EPERM);
  EXPECT_NE(said.what.find("symbolic link"), std::string::npos) << said.what;
  expect_victim_untouched();
}

TEST_F(PlantedStore, ALinkInTheSegmentsPlaceIsNotOpened) {
  {
    StoreDirectory made = StoreDirectory::prepare(Disk::host(), store_);
    made.write_format(example_format());
  }
  std::filesystem::create_directory_symlink(directory_ / "victim", store_ + "/segments");
  EXPECT_EQ(refused([&] { StoreDirectory::open(Disk::host(), store_); }).code, EPERM);
  expect_victim_untouched();
}

TEST_F(PlantedStore, ALinkInTheLocksPlaceIsNotFollowed) {
  std::filesystem::create_symlink(directory_ / "victim/precious", store_ + "/lock");
  EXPECT_EQ(prepare().code, ELOOP);
  std::ifstream precious(directory_ / "victim/precious");
  std::string text;
  precious >> text;
  EXPECT_EQ(text, "kept");
}

TEST_F(PlantedStore, ADirectoryOfAnotherUserIsRefused) {
  if (::geteuid() != 0) return;  // only root can give a directory away
  ASSERT_EQ(::chown(store_.c_str(), 65'534, 65'534), 0);
  const Refused said = prepare();
  EXPECT_EQ(said.code, EPERM);
  EXPECT_NE(said.what.find("65534"), std::string::npos) << said.what;
}

TEST_F(PlantedStore, ADirectoryThatAllMayWriteToIsRefused) {
  std::filesystem::permissions(store_, std::filesystem::perms::all);
  EXPECT_EQ(prepare().code, EPERM);
}

}  // namespace
}  // namespace varve
