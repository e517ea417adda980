// SPDX-License-Identifier: Apache-2.0
//
// fallocate, holes, copy_file_range, memory maps and statfs.

#include <sys/mman.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "tests/posix/posix_support.h"

namespace varve::posix {
namespace {

using Allocate = Posix;
using Holes = Posix;
using Copy = Posix;
using Map = Posix;
using Space = Posix;

constexpr off_t kMiB = 1 << 20;

TEST_F(Allocate, GrowsTheFileUnlessToldToKeepItsSize) {
  write_file("file", "data");
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, kMiB));
  EXPECT_EQ(status("file").st_size, 4);
  ASSERT_OK(fallocate(file, 0, 0, kMiB));
  EXPECT_EQ(status("file").st_size, kMiB);
  EXPECT_EQ(read_at(file, 8, 0), std::string("data\0\0\0\0", 8));
  ASSERT_OK(posix_fallocate(file, 0, 100) == 0 ? 0 : -1);
  EXPECT_EQ(status("file").st_size, kMiB);
}

TEST_F(Allocate, PunchingAHoleZeroesExactlyTheRange) {
  const std::string bytes = pattern(500'000);
  write_file("file", bytes);
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100'001, 300'003));
  std::string expected = bytes;
  std::fill_n(expected.begin() + 100'001, 300'003, '\0');
  EXPECT_TRUE(read_file("file") == expected);
  ASSERT_OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 499'999, kMiB));
  expected.back() = '\0';
  EXPECT_TRUE(read_file("file") == expected);
  EXPECT_ERRNO(fallocate(file, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
}

TEST_F(Allocate, ZeroRangeZeroesAndGrows) {
  const std::string bytes = pattern(200'000);
  write_file("file", bytes);
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(fallocate(file, FALLOC_FL_ZERO_RANGE, 150'000, 100'000));
  EXPECT_TRUE(read_file("file") == bytes.substr(0, 150'000) + std::string(100'000, '\0'));
  ASSERT_OK(fallocate(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, kMiB));
  EXPECT_EQ(read_file("file"), std::string(250'000, '\0'));
}

TEST_F(Allocate, CollapseAndInsertWorkOrAreRefusedWhole) {
  const std::string bytes = pattern(4 * 4096);
  for (const int mode : {FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE}) {
    write_file("file", bytes);
    const Fd file = open_file("file", O_RDWR);
    if (fallocate(file, mode, 4096, 4096) == 0) {
      const std::string middle = mode == FALLOC_FL_COLLAPSE_RANGE
                                     ? ""
                                     : std::string(4096, '\0') + bytes.substr(4096, 4096);
      EXPECT_TRUE(read_file("file") == bytes.substr(0, 4096) + middle + bytes.substr(8192));
    } else {
      EXPECT_TRUE(errno == EOPNOTSUPP || errno == EINVAL) << strerror(errno);
      EXPECT_TRUE(read_file("file") == bytes);
    }
  }
}

TEST_F(Allocate, RefusesBadRanges) {
  const Fd file = open_file("file", O_RDWR | O_CREAT);
  EXPECT_ERRNO(fallocate(file, 0, -1, 10), EINVAL);
  EXPECT_ERRNO(fallocate(file, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(fallocate(open_file("file", O_RDONLY), 0, 0, 10), EBADF);
}

TEST_F(Holes, SeekFindsDataBetweenHoles) {
  const Fd file = open_file("file", O_RDWR | O_CREAT);
  const std::string data = pattern(kMiB);
  ASSERT_EQ(pwrite(file, data.data(), data.size(), 2 * kMiB), kMiB);
  ASSERT_EQ(pwrite(file, data.data(), data.size(), 6 * kMiB), kMiB);
  ASSERT_OK(ftruncate(file, 10 * kMiB));
  ASSERT_OK(fsync(file));
  EXPECT_EQ(lseek(file, 0, SEEK_DATA), 2 * kMiB);
  EXPECT_EQ(lseek(file, 0, SEEK_HOLE), 0);
  EXPECT_EQ(lseek(file, 2 * kMiB, SEEK_HOLE), 3 * kMiB);
  EXPECT_EQ(lseek(file, 3 * kMiB, SEEK_DATA), 6 * kMiB);
  EXPECT_EQ(lseek(file, 2 * kMiB + 77, SEEK_DATA), 2 * kMiB + 77);
  EXPECT_ERRNO(lseek(file, 7 * kMiB, SEEK_DATA), ENXIO);
  EXPECT_EQ(lseek(file, 7 * kMiB, SEEK_HOLE), 7 * kMiB);
  EXPECT_ERRNO(lseek(file, 10 * kMiB, SEEK_DATA), ENXIO);
  EXPECT_ERRNO(lseek(file, 10 * kMiB, SEEK_HOLE), ENXIO);
}

TEST_F(Holes, AFullFileHasOneHoleAtItsEnd) {
  write_file("file", pattern(1000));
  const Fd file = open_file("file", O_RDONLY);
  EXPECT_EQ(lseek(file, 0, SEEK_DATA), 0);
  EXPECT_EQ(lseek(file, 0, SEEK_HOLE), 1000);
  write_file("empty", "");
  EXPECT_ERRNO(lseek(open_file("empty", O_RDONLY), 0, SEEK_DATA), ENXIO);
}

TEST_F(Holes, PunchedRangesBecomeHoles) {
  write_file("file", pattern(3 * kMiB));
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kMiB, kMiB));
  EXPECT_EQ(lseek(file, 0, SEEK_HOLE), kMiB);
  EXPECT_EQ(lseek(file, kMiB, SEEK_DATA), 2 * kMiB);
}

TEST_F(Copy, CopiesBetweenFilesAtAnyOffset) {
  const std::string bytes = pattern(600'000);
  write_file("from", bytes);
  const Fd from = open_file("from", O_RDONLY);
  const Fd to = open_file("to", O_RDWR | O_CREAT);
  off_t source = 12'345;
  off_t target = 54'321;
  size_t left = 500'000;
  while (left > 0) {
    const ssize_t copied = copy_file_range(from, &source, to, &target, left, 0);
    ASSERT_GT(copied, 0) << strerror(errno);
    left -= static_cast<size_t>(copied);
  }
  EXPECT_EQ(source, 512'345);
  EXPECT_TRUE(read_file("to") == std::string(54'321, '\0') + bytes.substr(12'345, 500'000));
}

TEST_F(Copy, StopsAtTheEndOfTheSource) {
  write_file("from", "short");
  const Fd from = open_file("from", O_RDONLY);
  const Fd to = open_file("to", O_WRONLY | O_CREAT);
  EXPECT_EQ(copy_file_range(from, nullptr, to, nullptr, 1000, 0), 5);
  EXPECT_EQ(copy_file_range(from, nullptr, to, nullptr, 1000, 0), 0);
  EXPECT_EQ(read_file("to"), "short");
}

TEST_F(Copy, RefusesOverlapWithinAFile) {
  write_file("file", pattern(100'000));
  const Fd file = open_file("file", O_RDWR);
  off_t source = 0;
  off_t target = 1000;
  EXPECT_ERRNO(copy_file_range(file, &source, file, &target, 50'000, 0), EINVAL);
}

TEST_F(Copy, SeesWhatAMapWroteJustBefore) {
  write_file("from", std::string(8192, 'a'));
  const Fd from = open_file("from", O_RDWR);
  auto* memory =
      static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, from, 0));
  ASSERT_NE(memory, MAP_FAILED);
  memory[5000] = 'b';
  const Fd to = open_file("to", O_WRONLY | O_CREAT);
  off_t source = 0;
  ASSERT_EQ(copy_file_range(from, &source, to, nullptr, 8192, 0), 8192);
  munmap(memory, 8192);
  EXPECT_EQ(read_file("to")[5000], 'b');
}

/// A mapping of the first `size` bytes of a file.
class Mapping {
 public:
  Mapping(int file, size_t size, int protection, int flags)
      : size_(size), memory_(static_cast<char*>(mmap(nullptr, size, protection, flags, file, 0))) {}
  ~Mapping() { munmap(memory_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* data() const { return memory_; }

 private:
  size_t size_;
  char* memory_;
};

TEST_F(Map, SharedStoresReachTheFile) {
  write_file("file", std::string(100'000, 'a'));
  const Fd file = open_file("file", O_RDWR);
  {
    const Mapping map(file, 100'000, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_NE(map.data(), MAP_FAILED);
    std::memcpy(map.data() + 70'000, "stored", 6);
    EXPECT_EQ(read_at(file, 6, 70'000), "stored");
    ASSERT_OK(msync(map.data(), 100'000, MS_SYNC));
  }
  EXPECT_EQ(read_file("file").substr(70'000, 6), "stored");
}

TEST_F(Map, WritesShowInAMapping) {
  write_file("file", std::string(8192, 'a'));
  const Fd file = open_file("file", O_RDWR);
  const Mapping map(file, 8192, PROT_READ, MAP_SHARED);
  ASSERT_EQ(map.data()[4096], 'a');
  ASSERT_EQ(pwrite(file, "b", 1, 4096), 1);
  EXPECT_EQ(map.data()[4096], 'b');
}

TEST_F(Map, PrivateStoresStayPrivate) {
  write_file("file", std::string(8192, 'a'));
  const Fd file = open_file("file", O_RDWR);
  const Mapping map(file, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  map.data()[0] = 'x';
  EXPECT_EQ(read_file("file"), std::string(8192, 'a'));
}

TEST_F(Map, TwoProcessesShareOneMapping) {
  write_file("file", std::string(4096, 'a'));
  const Fd file = open_file("file", O_RDWR);
  const Mapping map(file, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  const int result = in_child([&] {
    const Fd other = open_file("file", O_RDWR);
    const Mapping same(other, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
    same.data()[17] = 'z';
    return 0;
  });
  EXPECT_EQ(result, 0);
  EXPECT_EQ(map.data()[17], 'z');
}

TEST_F(Map, StoresSurviveClosingAndUnlinking) {
  write_file("file", std::string(4096, 'a'));
  Fd file = open_file("file", O_RDWR);
  const Mapping map(file, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  file.reset();
  ASSERT_OK(link(path("file").c_str(), path("other").c_str()));
  ASSERT_OK(unlink(path("file").c_str()));
  map.data()[1] = 'b';
  ASSERT_OK(msync(map.data(), 4096, MS_SYNC));
  EXPECT_EQ(read_file("other")[1], 'b');
}

TEST_F(Map, AccessPastTheEndIsSigbus) {
  write_file("file", std::string(8192, 'a'));
  const pid_t child = fork();
  if (child == 0) {
    const Fd file = open_file("file", O_RDWR);
    const Mapping map(file, 8192, PROT_READ, MAP_SHARED);
    if (ftruncate(file, 100) != 0) _exit(1);
    const volatile char* past = map.data() + 4096;
    _exit(past[0] == 0 ? 2 : 3);
  }
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  ASSERT_TRUE(WIFSIGNALED(state)) << "exit status " << WEXITSTATUS(state);
  EXPECT_EQ(WTERMSIG(state), SIGBUS);
}

TEST_F(Map, StoresMoveTheTimes) {
  write_file("file", std::string(4096, 'a'));
  const Fd file = open_file("file", O_RDWR);
  const timespec past[2] = {{1000, 0}, {1000, 0}};
  ASSERT_OK(futimens(file, past));
  const Mapping map(file, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  map.data()[0] = 'b';
  ASSERT_OK(msync(map.data(), 4096, MS_SYNC));
  ASSERT_OK(fsync(file));
  EXPECT_GT(status("file").st_mtim.tv_sec, 1000);
}

TEST_F(Space, StatfsAddsUp) {
  struct statvfs found {};
  ASSERT_OK(statvfs(directory().c_str(), &found));
  EXPECT_EQ(found.f_namemax, 255u);
  EXPECT_GT(found.f_frsize, 0u);
  EXPECT_GT(found.f_blocks, 0u);
  EXPECT_LE(found.f_bfree, found.f_blocks);
  EXPECT_LE(found.f_bavail, found.f_bfree);
  EXPECT_LE(found.f_ffree, found.f_files);
  EXPECT_GT(found.f_ffree, 0u);
}

}  // namespace
}  // namespace varve::posix
