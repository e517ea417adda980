// SPDX-License-Identifier: Apache-2.0
#include "store/superblock.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "store/base/error.h"
#include "store/checksum.h"
#include "store/journal_format.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using test::DiskCall;
using test::FaultDisk;
using test::TempDirectory;

Superblock example_superblock() {
  Superblock block;
  block.sequence = 1;
  block.id.fill(std::byte{3});
  block.csn = 77;
  block.root = {std::byte{1}, std::byte{2}, std::byte{3}};
  block.journal_start_lsn = 4096;
  block.durable_lsn = 8192;
  block.replay_from = 5000;
  block.journal_file_bytes = 64 * 1024;
  block.journal_epoch = 9;
  return block;
}

class SuperblockTest : public ::testing::Test {
 protected:
  SuperblockTest() { SuperblockFile::create(disk_, path_, example_superblock()); }

  void flip(std::uint64_t offset) {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(offset));
    const char old = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(old ^ 0x10));
  }
  SuperblockFile open() { return SuperblockFile(disk_, path_, example_superblock().id); }

  TempDirectory directory_;
  FaultDisk disk_;
  const std::string path_ = directory_ / "superblock";
};

TEST_F(SuperblockTest, GivesBackEveryField) {
  const Superblock block = open().current();
  EXPECT_EQ(block.csn, 77u);
  EXPECT_EQ(block.root, example_superblock().root);
  EXPECT_EQ(block.journal_start_lsn, 4096u);
  EXPECT_EQ(block.durable_lsn, 8192u);
  EXPECT_EQ(block.replay_from, 5000u);
  EXPECT_EQ(block.journal_file_bytes, 64u * 1024);
  EXPECT_EQ(block.journal_epoch, 9u);
  EXPECT_FALSE(block.clean);
}

TEST_F(SuperblockTest, HoldsTheLargestRoot) {
  Superblock block = example_superblock();
  block.root.assign(Store::kMaxRootBytes, std::byte{0xab});
  block.clean = true;
  SuperblockFile file = open();
  file.write(block);
  const Superblock read = open().current();
  EXPECT_EQ(read.root, block.root);
  EXPECT_TRUE(read.clean);
}

TEST_F(SuperblockTest, WritesTheSlotsInTurnSoThatTheOneBeforeStays) {
  SuperblockFile file = open();
  for (Csn csn = 100; csn < 110; ++csn) {
    Superblock next = file.current();
    next.csn = csn;
    file.write(next);
    EXPECT_EQ(open().current().csn, csn);
  }
  // Whichever slot is damaged, one of the last two is left.
  flip(30);
  const Csn first = open().current().csn;
  flip(30);
  flip(4096 + 30);
  const Csn second = open().current().csn;
  EXPECT_EQ(first + second, 108u + 109u);
}

TEST_F(SuperblockTest, NoticesAFlipOfAnyByte) {
  SuperblockFile file = open();
  Superblock next = file.current();
  next.csn = 78;
  file.write(next);
  flip(0);
  const std::uint64_t newest = open().current().csn == 77 ? 0 : 4096;
  flip(0);
  ASSERT_EQ(open().current().csn, 78u);
  for (std::uint64_t at = 0; at < 4096; ++at) {
    flip(newest + at);
    EXPECT_EQ(open().current().csn, 77u) << "byte " << at;
    flip(newest + at);
  }
}

TEST_F(SuperblockTest, RefusesWhenBothAreDamagedAndSaysWhatToDo) {
  flip(100);
  flip(4096 + 100);
  try {
    open();
    FAIL();
  } catch (const CorruptionError& error) {
    EXPECT_EQ(error.code(), EIO);
    EXPECT_NE(std::string(error.what()).find("superblock"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("from a backup"), std::string::npos);
  }
}

TEST_F(SuperblockTest, CallsAMissingFileDamageAndSaysWhatToDo) {
  ASSERT_EQ(std::remove(path_.c_str()), 0);
  try {
    open();
    FAIL();
  } catch (const CorruptionError& error) {
    EXPECT_EQ(error.code(), EIO);
    EXPECT_NE(std::string(error.what()).find("missing; put back"), std::string::npos)
        << error.what();
  }
}

TEST_F(SuperblockTest, RefusesAShortFileAndAnotherStores) {
  StoreId other = example_superblock().id;
  other[0] = std::byte{4};
  EXPECT_THROW(SuperblockFile(disk_, path_, other), CorruptionError);
  disk_.open(path_, Disk::Mode::kReadWrite)->truncate(4000);
  EXPECT_THROW(open(), CorruptionError);
}

TEST_F(SuperblockTest, KeepsTheOldOneWhenTheWriteOrSyncFails) {
  for (const DiskCall call : {DiskCall::kWrite, DiskCall::kSync}) {
    SuperblockFile file = open();
    const Csn before = file.current().csn;
    Superblock next = file.current();
    next.csn = before + 1;
    disk_.plan().fail(call, 1, EIO);
    EXPECT_THROW(file.write(next), StoreError);
    EXPECT_EQ(file.current().csn, before);
    EXPECT_GE(open().current().csn, before);
  }
}

TEST_F(SuperblockTest, RefusesImpossibleFieldsBehindAGoodChecksum) {
  Superblock block = example_superblock();
  block.durable_lsn = 1;  // before the start
  EXPECT_DEATH(block.encode(), "possible");
  Bytes slot = example_superblock().encode();
  EXPECT_TRUE(Superblock::decode(slot).has_value());
  slot.pop_back();
  EXPECT_FALSE(Superblock::decode(slot).has_value());
}

/// Otherwise the journal's first file of that size would be written with zeros until the disk is
/// full, and positions would wrap around.
TEST_F(SuperblockTest, RefusesNumbersThatNoStoreReaches) {
  const auto refused = [](std::size_t at, std::uint64_t value) {
    Bytes slot = example_superblock().encode();
    std::memcpy(slot.data() + at, &value, sizeof value);
    const std::uint64_t checksum = checksum_of(ByteView(slot).subspan(8));
    std::memcpy(slot.data(), &checksum, sizeof checksum);
    return !Superblock::decode(slot).has_value();
  };
  constexpr std::size_t kCsn = 48, kDurable = 64, kReplayFrom = 72, kFileBytes = 80;
  EXPECT_FALSE(refused(kFileBytes, 1ull << 30));
  EXPECT_TRUE(refused(kFileBytes, 1ull << 31));
  EXPECT_FALSE(refused(kDurable, 1ull << 40));
  EXPECT_TRUE(refused(kDurable, ~0ull - 4096));
  EXPECT_TRUE(refused(kReplayFrom, ~0ull));
  EXPECT_TRUE(refused(kCsn, ~0ull));
}

}  // namespace
}  // namespace varve
