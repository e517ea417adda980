// SPDX-License-Identifier: Apache-2.0
#include "store/base/disk.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "store/base/error.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

template <class Call>
int errno_thrown_by(Call call) {
  try {
    call();
  } catch (const StoreError& error) {
    return error.code();
  }
  return 0;
}

class DiskTest : public ::testing::Test {
 protected:
  Disk& disk_ = Disk::host();
  test::TempDirectory directory_;
};

TEST_F(DiskTest, ReadsWhatWasWritten) {
  const auto file = disk_.open(directory_ / "a", Disk::Mode::kCreateNew);
  file->write_at(5, as_bytes("hello"));
  Bytes bytes(20);
  EXPECT_EQ(file->read_at(0, bytes), 10u);
  EXPECT_EQ(as_text(ByteView(bytes).subspan(5, 5)), "hello");
  EXPECT_EQ(bytes[0], std::byte{0});
  EXPECT_EQ(file->read_at(10, bytes), 0u);
  EXPECT_EQ(file->size(), 10u);
  file->truncate(7);
  EXPECT_EQ(file->size(), 7u);
  file->sync();
  EXPECT_EQ(file->path(), directory_ / "a");
}

TEST_F(DiskTest, CreatesOnlyNewFilesAndOpensOnlyExistingOnes) {
  EXPECT_EQ(errno_thrown_by([&] { disk_.open(directory_ / "a", Disk::Mode::kReadWrite); }), ENOENT);
  disk_.open(directory_ / "a", Disk::Mode::kCreateNew);
  EXPECT_EQ(errno_thrown_by([&] { disk_.open(directory_ / "a", Disk::Mode::kCreateNew); }), EEXIST);
  EXPECT_TRUE(disk_.exists(directory_ / "a"));
  EXPECT_FALSE(disk_.exists(directory_ / "b"));
  EXPECT_FALSE(disk_.exists(directory_ / "a/below-a-file"));
}

TEST_F(DiskTest, RefusesSymbolicLinksAndSpecialFiles) {
  disk_.open(directory_ / "a", Disk::Mode::kCreateNew);
  ASSERT_EQ(::symlink("a", (directory_ / "link").c_str()), 0);
  EXPECT_EQ(errno_thrown_by([&] { disk_.open(directory_ / "link", Disk::Mode::kReadOnly); }),
            ELOOP);
  ASSERT_EQ(::mkfifo((directory_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(errno_thrown_by([&] { disk_.open(directory_ / "pipe", Disk::Mode::kReadOnly); }),
            EINVAL);
  EXPECT_EQ(errno_thrown_by([&] { disk_.open(directory_.path(), Disk::Mode::kReadOnly); }), EINVAL);
}

TEST_F(DiskTest, AWriteToAReadOnlyFileFails) {
  disk_.open(directory_ / "a", Disk::Mode::kCreateNew);
  const auto file = disk_.open(directory_ / "a", Disk::Mode::kReadOnly);
  EXPECT_EQ(errno_thrown_by([&] { file->write_at(0, as_bytes("x")); }), EBADF);
}

TEST_F(DiskTest, PunchedBytesReadAsZeros) {
  const auto file = disk_.open(directory_ / "a", Disk::Mode::kCreateNew);
  file->write_at(0, Bytes(1 << 16, std::byte{1}));
  file->sync();
  const std::uint64_t before = file->allocated_bytes();
  file->punch_hole(4096, 32768);
  Bytes bytes(1 << 16);
  EXPECT_EQ(file->read_at(0, bytes), bytes.size());
  EXPECT_EQ(bytes[4095], std::byte{1});
  EXPECT_EQ(bytes[4096], std::byte{0});
  EXPECT_EQ(bytes[4096 + 32768], std::byte{1});
  EXPECT_LE(file->allocated_bytes(), before);
}

TEST_F(DiskTest, ListsNamesInOrder) {
  disk_.make_directory(directory_ / "d");
  disk_.make_directory(directory_ / "d");  // an existing one is no error
  for (const char* name : {"c", "a", "b"}) {
    disk_.open(directory_ / (std::string("d/") + name), Disk::Mode::kCreateNew);
  }
  EXPECT_EQ(disk_.list(directory_ / "d"), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(errno_thrown_by([&] { disk_.list(directory_ / "none"); }), ENOENT);
  EXPECT_EQ(errno_thrown_by([&] { disk_.make_directory(directory_ / "d/a"); }), ENOTDIR);
  disk_.sync_directory(directory_ / "d");
}

TEST_F(DiskTest, RemovesAndRenames) {
  disk_.remove(directory_ / "absent");
  disk_.open(directory_ / "a", Disk::Mode::kCreateNew);
  disk_.rename(directory_ / "a", directory_ / "b");
  EXPECT_FALSE(disk_.exists(directory_ / "a"));
  disk_.remove(directory_ / "b");
  EXPECT_FALSE(disk_.exists(directory_ / "b"));
  EXPECT_EQ(errno_thrown_by([&] { disk_.rename(directory_ / "a", directory_ / "b"); }), ENOENT);
}

TEST_F(DiskTest, LocksAgainstASecondHolder) {
  auto lock = disk_.try_lock(directory_ / "LOCK");
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(disk_.try_lock(directory_ / "LOCK"), nullptr);
  lock.reset();
  EXPECT_NE(disk_.try_lock(directory_ / "LOCK"), nullptr);
}

TEST_F(DiskTest, KnowsTheSpace) {
  const Disk::Space space = disk_.space(directory_.path());
  EXPECT_GT(space.total_bytes, 0u);
  EXPECT_LE(space.free_bytes, space.total_bytes);
}

TEST_F(DiskTest, ReadsWholeFilesUpToALimit) {
  disk_.open(directory_ / "a", Disk::Mode::kCreateNew)->write_at(0, as_bytes("12345"));
  EXPECT_EQ(as_text(disk_.read_file(directory_ / "a", 5)), "12345");
  EXPECT_EQ(errno_thrown_by([&] { disk_.read_file(directory_ / "a", 4); }), EFBIG);
}

TEST_F(DiskTest, ReplacedFileHasOldOrNewContentAfterEachFailure) {
  disk_.replace_file(directory_ / "f", as_bytes("old"));
  const std::vector<std::pair<test::DiskCall, int>> steps = {{test::DiskCall::kOpen, ENOSPC},
                                                             {test::DiskCall::kWrite, ENOSPC},
                                                             {test::DiskCall::kSync, EIO},
                                                             {test::DiskCall::kRename, EIO},
                                                             {test::DiskCall::kSyncDirectory, EIO}};
  for (const auto& [call, code] : steps) {
    SCOPED_TRACE(static_cast<int>(call));
    test::FaultDisk faulty;
    faulty.plan().fail(call, 1, code);
    EXPECT_EQ(errno_thrown_by([&] { faulty.replace_file(directory_ / "f", as_bytes("new")); }),
              code);
    const std::string content(as_text(disk_.read_file(directory_ / "f", 100)));
    EXPECT_EQ(content, call == test::DiskCall::kSyncDirectory ? "new" : "old");
    faulty.plan().clear();
    faulty.replace_file(directory_ / "f", as_bytes("old"));
  }
}

}  // namespace
}  // namespace varve
