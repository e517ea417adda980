// SPDX-License-Identifier: Apache-2.0
//
// Opening, reading, writing, syncing and resizing one file.

#include <sys/sendfile.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <thread>

#include "tests/posix/posix_support.h"

namespace varve::posix {
namespace {

using Io = Posix;

TEST_F(Io, AppendAlwaysWritesAtTheEnd) {
  const Fd one = open_file("file", O_WRONLY | O_CREAT | O_APPEND);
  const Fd two = open_file("file", O_WRONLY | O_APPEND);
  EXPECT_EQ(write_all(one, "one"), 3u);
  EXPECT_EQ(write_all(two, "two"), 3u);
  ASSERT_OK(lseek(one, 0, SEEK_SET));
  EXPECT_EQ(write_all(one, "three"), 5u);
  EXPECT_EQ(read_file("file"), "onetwothree");
}

TEST_F(Io, ManyAppendersLoseNothing) {
  constexpr int kThreads = 4;
  constexpr int kRecords = 250;
  constexpr size_t kRecordBytes = 64;
  std::vector<std::thread> threads;
  write_file("log", "");
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const Fd file = open_file("log", O_WRONLY | O_APPEND);
      const std::string record(kRecordBytes, static_cast<char>('a' + i));
      for (int n = 0; n < kRecords; ++n) EXPECT_EQ(write_all(file, record), record.size());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string log = read_file("log");
  ASSERT_EQ(log.size(), kThreads * kRecords * kRecordBytes);
  std::vector<int> counts(kThreads);
  for (size_t at = 0; at < log.size(); at += kRecordBytes) {
    EXPECT_EQ(log.substr(at, kRecordBytes), std::string(kRecordBytes, log[at]));
    ++counts[static_cast<size_t>(log[at] - 'a')];
  }
  EXPECT_EQ(counts, std::vector<int>(kThreads, kRecords));
}

TEST_F(Io, TruncOnOpenEmptiesTheFile) {
  write_file("file", pattern(300'000));
  const Fd file = open_file("file", O_WRONLY | O_TRUNC);
  ASSERT_OK(file);
  EXPECT_EQ(status("file").st_size, 0);
  EXPECT_EQ(read_file("file"), "");
}

TEST_F(Io, ExclusiveCreateRefusesWhatExists) {
  ASSERT_OK(open_file("file", O_WRONLY | O_CREAT | O_EXCL));
  EXPECT_ERRNO(open_file("file", O_WRONLY | O_CREAT | O_EXCL), EEXIST);
  ASSERT_OK(symlink("nowhere", path("link").c_str()));
  EXPECT_ERRNO(open_file("link", O_WRONLY | O_CREAT | O_EXCL), EEXIST);
}

TEST_F(Io, NoFollowRefusesASymlink) {
  write_file("file", "x");
  ASSERT_OK(symlink("file", path("link").c_str()));
  EXPECT_ERRNO(open_file("link", O_RDONLY | O_NOFOLLOW), ELOOP);
  EXPECT_OK(open_file("link", O_RDONLY));
  EXPECT_OK(open_file("link", O_PATH | O_NOFOLLOW));
}

TEST_F(Io, OpenFlagsMatchTheKindOfFile) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  write_file("file", "x");
  EXPECT_ERRNO(open_file("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
  EXPECT_ERRNO(open_file("dir", O_WRONLY), EISDIR);
  EXPECT_ERRNO(open_file("missing", O_RDONLY), ENOENT);
  EXPECT_ERRNO(open_file("file/below", O_RDONLY), ENOTDIR);
}

TEST_F(Io, AFileOpenedForOneThingRefusesTheOther) {
  write_file("file", "content");
  char byte = 'x';
  EXPECT_ERRNO(write(open_file("file", O_RDONLY), &byte, 1), EBADF);
  EXPECT_ERRNO(read(open_file("file", O_WRONLY), &byte, 1), EBADF);
  EXPECT_ERRNO(ftruncate(open_file("file", O_RDONLY), 0), EINVAL);
}

/// VARVE_POSIX_NO_TMPFILE says that the daemon's libfuse is older than O_TMPFILE: all are refused.
bool are_refused(const std::string& directory, int flags) {
  if (std::getenv("VARVE_POSIX_NO_TMPFILE") == nullptr) return false;
  EXPECT_ERRNO(open(directory.c_str(), flags, 0600), EOPNOTSUPP);
  return true;
}

TEST_F(Io, TemporaryFileHasNoNameUntilLinked) {
  if (are_refused(directory(), O_RDWR | O_TMPFILE)) return;
  const Fd file(open(directory().c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  ASSERT_OK(file);
  EXPECT_EQ(write_all(file, "kept"), 4u);
  EXPECT_TRUE(names_in(".").empty());
  struct stat found {};
  ASSERT_OK(fstat(file, &found));
  EXPECT_EQ(found.st_nlink, 0u);
  const std::string by_descriptor = "/proc/self/fd/" + std::to_string(file);
  ASSERT_OK(
      linkat(AT_FDCWD, by_descriptor.c_str(), AT_FDCWD, path("named").c_str(), AT_SYMLINK_FOLLOW));
  EXPECT_EQ(read_file("named"), "kept");
  EXPECT_EQ(status("named").st_nlink, 1u);
}

TEST_F(Io, ExclusiveTemporaryFileCannotBeLinked) {
  if (are_refused(directory(), O_RDWR | O_TMPFILE | O_EXCL)) return;
  const Fd file(open(directory().c_str(), O_RDWR | O_TMPFILE | O_EXCL | O_CLOEXEC, 0600));
  ASSERT_OK(file);
  const std::string by_descriptor = "/proc/self/fd/" + std::to_string(file);
  EXPECT_ERRNO(
      linkat(AT_FDCWD, by_descriptor.c_str(), AT_FDCWD, path("named").c_str(), AT_SYMLINK_FOLLOW),
      ENOENT);
}

TEST_F(Io, DirectReadsAndWritesAgreeWithBufferedOnes) {
  constexpr size_t kBytes = 256 << 10;
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  const std::unique_ptr<char[], Free> buffer(static_cast<char*>(std::aligned_alloc(4096, kBytes)));
  const std::string bytes = pattern(kBytes);
  std::copy(bytes.begin(), bytes.end(), buffer.get());
  const Fd direct = open_file("file", O_RDWR | O_CREAT | O_DIRECT);
  ASSERT_OK(direct);
  ASSERT_EQ(pwrite(direct, buffer.get(), kBytes, 0), static_cast<ssize_t>(kBytes));
  EXPECT_EQ(read_file("file"), bytes);
  const Fd buffered = open_file("file", O_WRONLY);
  ASSERT_EQ(pwrite(buffered, "changed", 7, 5000), 7);
  ASSERT_EQ(pread(direct, buffer.get(), kBytes, 0), static_cast<ssize_t>(kBytes));
  EXPECT_EQ(std::string(buffer.get() + 5000, 7), "changed");
}

TEST_F(Io, WritesAtEveryBorderReadBack) {
  const Fd file = open_file("file", O_RDWR | O_CREAT);
  std::string expected;
  uint64_t seed = 0;
  for (const size_t border :
       {size_t{1024}, size_t{4096}, size_t{16384}, size_t{131072}, size_t{262144}}) {
    for (const size_t offset : {border - 1, border, border + 1}) {
      for (const size_t length :
           {size_t{1}, size_t{2}, size_t{4096}, size_t{131072}, size_t{131073}}) {
        const std::string bytes = pattern(length, ++seed);
        ASSERT_EQ(pwrite(file, bytes.data(), length, static_cast<off_t>(offset)),
                  static_cast<ssize_t>(length));
        if (expected.size() < offset + length) expected.resize(offset + length);
        expected.replace(offset, length, bytes);
      }
    }
  }
  EXPECT_EQ(read_file("file"), expected);
}

TEST_F(Io, AHoleReadsAsZeros) {
  const Fd file = open_file("file", O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(file, "end", 3, 1'000'000), 3);
  EXPECT_EQ(read_at(file, 1'000'000, 0), std::string(1'000'000, '\0'));
  EXPECT_EQ(read_at(file, 100, 1'000'000), "end");
  EXPECT_EQ(read_at(file, 100, 2'000'000), "");
}

TEST_F(Io, VectorsAreOneWrite) {
  char first[] = "first,";
  char second[] = "second";
  const iovec parts[] = {{first, 6}, {second, 6}};
  const Fd file = open_file("file", O_RDWR | O_CREAT);
  ASSERT_EQ(pwritev(file, parts, 2, 10), 12);
  EXPECT_EQ(read_at(file, 12, 10), "first,second");
}

TEST_F(Io, SyncCallsSucceedOnFilesAndDirectories) {
  write_file("file", pattern(200'000));
  const Fd file = open_file("file", O_RDWR);
  EXPECT_OK(fsync(file));
  EXPECT_OK(fdatasync(file));
  const Fd directory_fd(open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_OK(fsync(directory_fd));
  EXPECT_OK(syncfs(directory_fd));
  EXPECT_OK(fsync(open_file("file", O_RDONLY)));
  const Fd synchronous = open_file("file", O_WRONLY | O_SYNC);
  EXPECT_EQ(write_all(synchronous, "synchronous"), 11u);
}

TEST_F(Io, TruncateCutsGrowsAndZeroesWhatComesBack) {
  const std::string bytes = pattern(200'000);
  write_file("file", bytes);
  ASSERT_OK(truncate(path("file").c_str(), 70'001));
  EXPECT_EQ(read_file("file"), bytes.substr(0, 70'001));
  ASSERT_OK(truncate(path("file").c_str(), 200'000));
  EXPECT_EQ(read_file("file"), bytes.substr(0, 70'001) + std::string(129'999, '\0'));
  ASSERT_OK(truncate(path("file").c_str(), 0));
  EXPECT_EQ(read_file("file"), "");
  EXPECT_ERRNO(truncate(path("file").c_str(), -1), EINVAL);
  EXPECT_ERRNO(truncate(directory().c_str(), 0), EISDIR);
}

TEST_F(Io, TruncateWithinAPageZeroesTheTail) {
  write_file("file", std::string(5000, 'x'));
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(ftruncate(file, 100));
  ASSERT_OK(ftruncate(file, 5000));
  EXPECT_EQ(read_at(file, 5000, 0), std::string(100, 'x') + std::string(4900, '\0'));
}

TEST_F(Io, AnInlineFileGrowsIntoAChunkedOneAndBack) {
  for (const size_t size :
       {size_t{1}, size_t{1023}, size_t{1024}, size_t{1025}, size_t{131'072}, size_t{131'073}}) {
    const std::string bytes = pattern(size, size);
    write_file("file", bytes.substr(0, 1));
    const Fd file = open_file("file", O_WRONLY | O_APPEND);
    ASSERT_EQ(write_all(file, bytes.substr(1)), size - 1);
    EXPECT_EQ(read_file("file"), bytes) << size;
    ASSERT_OK(truncate(path("file").c_str(), 1));
    EXPECT_EQ(read_file("file"), bytes.substr(0, 1)) << size;
  }
}

TEST_F(Io, SparseFileOfEightTerabytesWorks) {
  constexpr off_t kSize = off_t{8} << 40;
  const Fd file = open_file("file", O_RDWR | O_CREAT);
  ASSERT_EQ(pwrite(file, "start", 5, 0), 5);
  ASSERT_EQ(pwrite(file, "middle", 6, kSize / 2), 6);
  ASSERT_EQ(pwrite(file, "end", 3, kSize - 3), 3);
  EXPECT_EQ(status("file").st_size, kSize);
  EXPECT_EQ(read_at(file, 5, 0), "start");
  EXPECT_EQ(read_at(file, 8, kSize / 2), std::string("middle\0\0", 8));
  EXPECT_EQ(read_at(file, 10, kSize - 3), "end");
  ASSERT_OK(fsync(file));
  EXPECT_LT(status("file").st_blocks, 4096);
  ASSERT_OK(ftruncate(file, kSize / 2));
  EXPECT_EQ(read_at(file, 8, kSize / 2), "");
}

TEST_F(Io, BlocksCountDataAndNotHoles) {
  const Fd file = open_file("file", O_RDWR | O_CREAT);
  ASSERT_OK(ftruncate(file, 16 << 20));
  EXPECT_LE(status("file").st_blocks, 8);
  const std::string data = pattern(1 << 20);
  ASSERT_EQ(pwrite(file, data.data(), data.size(), 4 << 20), static_cast<ssize_t>(data.size()));
  ASSERT_OK(fsync(file));
  EXPECT_GE(status("file").st_blocks, 2048);
  EXPECT_LE(status("file").st_blocks, 2048 + 64);
  ASSERT_OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 << 20, 512 << 10));
  ASSERT_OK(fsync(file));
  EXPECT_GE(status("file").st_blocks, 1024);
  EXPECT_LE(status("file").st_blocks, 1024 + 64);
}

TEST_F(Io, AProgramRunsFromTheFilesystem) {
  std::filesystem::copy_file("/bin/true", path("program"));
  ASSERT_OK(chmod(path("program").c_str(), 0755));
  EXPECT_EQ(std::system(path("program").c_str()), 0);
  ASSERT_OK(chmod(path("program").c_str(), 0644));
  EXPECT_EQ(in_child([&] {
              execl(path("program").c_str(), "program", static_cast<char*>(nullptr));
              return errno;
            }),
            EACCES);
}

TEST_F(Io, SendfileAndCopyAgree) {
  const std::string bytes = pattern(700'001);
  write_file("from", bytes);
  const Fd from = open_file("from", O_RDONLY);
  const Fd to = open_file("to", O_WRONLY | O_CREAT);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t sent = sendfile(to, from, nullptr, bytes.size() - done);
    ASSERT_GT(sent, 0);
    done += static_cast<size_t>(sent);
  }
  EXPECT_TRUE(read_file("to") == bytes);
}

}  // namespace
}  // namespace varve::posix
