// SPDX-License-Identifier: Apache-2.0
// Needs root and /dev/fuse: everything here is asked through the kernel.
#include <dirent.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "store/base/error.h"
#include "tests/support/mounted_volume.h"

namespace varve::test {
namespace {

using Requests = std::map<std::string, std::uint64_t>;

std::uint64_t total(const Requests& requests) {
  std::uint64_t sum = 0;
  for (const auto& [type, count] : requests) sum += count;
  return sum;
}

std::string text_of(const Requests& requests) {
  std::string out;
  for (const auto& [type, count] : requests) out += type + "=" + std::to_string(count) + " ";
  return out;
}

/// Names in a directory, each with its stat; as `ls -l` asks for them.
std::set<std::string> list(const std::string& path) {
  std::set<std::string> names;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = ::readdir(directory)) {
    struct stat status {};
    const std::string full = path + "/" + entry->d_name;
    if (::lstat(full.c_str(), &status) == 0) names.insert(entry->d_name);
    // The root directory's ACL is never cached, see FuseMount::Options::acl.
    char value[8];
    if (entry->d_name[0] != '.')
      ::lgetxattr(full.c_str(), "system.posix_acl_access", value, sizeof value);
  }
  ::closedir(directory);
  return names;
}

TEST(FuseAdapter, FilesDirectoriesLinksAndRenamesWorkThroughTheKernel) {
  const MountedVolume mounted;
  ASSERT_EQ(::mkdir((mounted / "d").c_str(), 0750), 0);
  ASSERT_TRUE(write_file(mounted / "d/a", "hello"));
  EXPECT_EQ(read_file(mounted / "d/a"), "hello");
  ASSERT_EQ(::symlink("d/a", (mounted / "s").c_str()), 0);
  EXPECT_EQ(read_file(mounted / "s"), "hello");
  ASSERT_EQ(::link((mounted / "d/a").c_str(), (mounted / "b").c_str()), 0);
  struct stat status {};
  ASSERT_EQ(::stat((mounted / "b").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 2u);
  ASSERT_EQ(::rename((mounted / "b").c_str(), (mounted / "c").c_str()), 0);
  EXPECT_EQ(::access((mounted / "b").c_str(), F_OK), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(list(mounted.path()), (std::set<std::string>{".", "..", "c", "d", "s"}));
  EXPECT_EQ(::rmdir((mounted / "d").c_str()), -1);
  EXPECT_EQ(errno, ENOTEMPTY);
  ASSERT_EQ(::unlink((mounted / "d/a").c_str()), 0);
  ASSERT_EQ(::rmdir((mounted / "d").c_str()), 0);
  ASSERT_EQ(::mkfifo((mounted / "fifo").c_str(), 0600), 0);
  ASSERT_EQ(::stat((mounted / "fifo").c_str(), &status), 0);
  EXPECT_TRUE(S_ISFIFO(status.st_mode));
}

TEST(FuseAdapter, RenameFlagsReachTheVolume) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "a", "A"));
  ASSERT_TRUE(write_file(mounted / "b", "B"));
  const auto rename_with = [&](unsigned flags) {
    return ::renameat2(AT_FDCWD, (mounted / "a").c_str(), AT_FDCWD, (mounted / "b").c_str(), flags);
  };
  EXPECT_EQ(rename_with(RENAME_NOREPLACE), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(rename_with(RENAME_WHITEOUT), -1);
  EXPECT_EQ(errno, EINVAL);
  ASSERT_EQ(rename_with(RENAME_EXCHANGE), 0);
  EXPECT_EQ(read_file(mounted / "a"), "B");
  EXPECT_EQ(read_file(mounted / "b"), "A");
}

/// The inode number that a listing of `path` shows for "..".
std::uint64_t listed_parent(const std::string& path) {
  std::uint64_t ino = 0;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return 0;
  while (const dirent* entry = ::readdir(directory))
    if (std::string(entry->d_name) == "..") ino = entry->d_ino;
  ::closedir(directory);
  return ino;
}

std::uint64_t ino_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

TEST(FuseAdapter, AMovedDirectoryListsItsNewParent) {
  const MountedVolume mounted;
  for (const char* name : {"a", "b", "a/moved", "b/other"})
    ASSERT_EQ(::mkdir((mounted / name).c_str(), 0755), 0);
  for (int i = 0; i < 2; ++i) {  // listed from the kernel's cache the second time
    EXPECT_EQ(listed_parent(mounted / "a/moved"), ino_of(mounted / "a"));
    EXPECT_EQ(listed_parent(mounted / "b/other"), ino_of(mounted / "b"));
  }
  ASSERT_EQ(::rename((mounted / "a/moved").c_str(), (mounted / "b/moved").c_str()), 0);
  EXPECT_EQ(listed_parent(mounted / "b/moved"), ino_of(mounted / "b"));
  ASSERT_EQ(::mkdir((mounted / "a/third").c_str(), 0755), 0);
  EXPECT_EQ(listed_parent(mounted / "a/third"), ino_of(mounted / "a"));
  ASSERT_EQ(::renameat2(AT_FDCWD, (mounted / "a/third").c_str(), AT_FDCWD,
                        (mounted / "b/other").c_str(), RENAME_EXCHANGE),
            0);
  EXPECT_EQ(listed_parent(mounted / "b/other"), ino_of(mounted / "b"));
  EXPECT_EQ(listed_parent(mounted / "a/third"), ino_of(mounted / "a"));
}

TEST(FuseAdapter, WarmOpenAndReadAskNothing) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", std::string(100000, 'x')));
  struct stat status {};
  ASSERT_EQ(read_file(mounted / "f").size(), 100000u);
  ASSERT_EQ(::stat((mounted / "f").c_str(), &status), 0);  // reading made the kernel's atime stale
  const Requests before = mounted.requests();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(read_file(mounted / "f").size(), 100000u);
    ASSERT_EQ(::stat((mounted / "f").c_str(), &status), 0);
  }
  EXPECT_EQ(total(mounted.since(before)), 0u) << text_of(mounted.since(before));
}

TEST(FuseAdapter, MissingNamesAreRemembered) {
  const MountedVolume mounted;
  EXPECT_EQ(::access((mounted / "nothing").c_str(), F_OK), -1);
  const Requests before = mounted.requests();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(::access((mounted / "nothing").c_str(), F_OK), -1);
  EXPECT_EQ(total(mounted.since(before)), 0u) << text_of(mounted.since(before));
  ASSERT_TRUE(write_file(mounted / "nothing", "now"));
  EXPECT_EQ(read_file(mounted / "nothing"), "now");
}

TEST(FuseAdapter, WarmRecursiveListingAsksNothing) {
  const MountedVolume mounted;
  for (int d = 0; d < 5; ++d) {
    const std::string directory = mounted / ("d" + std::to_string(d));
    ASSERT_EQ(::mkdir(directory.c_str(), 0755), 0);
    for (int f = 0; f < 50; ++f) ASSERT_TRUE(write_file(directory + "/f" + std::to_string(f), "x"));
    ASSERT_EQ(::symlink("f0", (directory + "/link").c_str()), 0);
  }
  const auto list_all = [&] {
    std::size_t names = list(mounted.path()).size();
    for (int d = 0; d < 5; ++d) names += list(mounted / ("d" + std::to_string(d))).size();
    return names;
  };
  const std::size_t expected = 7 + 5 * 53;
  // The first pass fills the directories' caches and makes their atime stale; the GETATTR for that
  // in the second drops the kernel's ACLs of directories, which the third fetches.
  for (int pass = 0; pass < 3; ++pass) EXPECT_EQ(list_all(), expected);
  const Requests before = mounted.requests();
  EXPECT_EQ(list_all(), expected);
  EXPECT_EQ(total(mounted.since(before)), 0u) << text_of(mounted.since(before));
}

TEST(FuseAdapter, SmallWritesDoNotAskForCapabilitiesEachTime) {
  const MountedVolume mounted;
  const OpenFile file(mounted / "f", O_RDWR | O_CREAT);
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(::write(file.get(), "x", 1), 1);
  const Requests before = mounted.requests();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(::write(file.get(), "x", 1), 1);
  const Requests asked = mounted.since(before);
#ifdef VARVE_FUSE_STATIC
  EXPECT_EQ(asked, (Requests{{"write", 20}})) << text_of(asked);
#else
  EXPECT_EQ(asked.at("write"), 20u);
#endif
}

TEST(FuseAdapter, ErrorsOfTheVolumeBecomeErrnos) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "data"));
  const auto write_errno = [&] {
    const OpenFile file(mounted / "f", O_WRONLY);
    return ::write(file.get(), "x", 1) == 1 ? 0 : errno;
  };
  mounted.volume->fail("write", [] { throw StoreError(ENOSPC, "the store is full"); });
  EXPECT_EQ(write_errno(), ENOSPC);
  EXPECT_EQ(mounted.mount->figures().failures, 0u);
  mounted.volume->fail("write", [] { throw CorruptionError("a damaged object"); });
  EXPECT_EQ(write_errno(), EIO);
  EXPECT_EQ(mounted.mount->figures().failures, 1u);
  mounted.volume->fail("write", [] { throw std::runtime_error("who knows"); });
  EXPECT_EQ(write_errno(), EIO);
  mounted.volume->fail("write", [] { throw std::bad_alloc(); });
  EXPECT_EQ(write_errno(), ENOMEM);
  mounted.volume->fail("write", [] { throw 42; });
  EXPECT_EQ(write_errno(), EIO);
  mounted.volume->repair("write");
  EXPECT_EQ(write_errno(), 0);
  mounted.volume->fail("fsync", [] { throw StoreError(EIO, "the disk said no"); });
  const OpenFile file(mounted / "f", O_WRONLY);
  EXPECT_EQ(::fsync(file.get()), -1);
  EXPECT_EQ(errno, EIO);
}

TEST(FuseAdapter, LongNamesAreRefused) {
  const MountedVolume mounted;
  EXPECT_TRUE(write_file(mounted / std::string(255, 'n'), "x"));
  EXPECT_FALSE(write_file(mounted / std::string(256, 'n'), "x"));
  EXPECT_EQ(errno, ENAMETOOLONG);
  EXPECT_EQ(list(mounted.path()).count(std::string(255, 'n')), 1u);
}

TEST(FuseAdapter, TenThousandEntriesAreListedOnce) {
  const MountedVolume mounted;
  mounted.volume->with([](MemoryVolume& volume) {
    for (int i = 0; i < 10000; ++i)
      volume.forget(volume.make_node(kRootIno, "file-" + std::to_string(i), 0100644, 0, {}).ino, 1);
    return 0;
  });
  DIR* directory = ::opendir(mounted.path().c_str());
  ASSERT_NE(directory, nullptr);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory)) names.emplace_back(entry->d_name);
  ::closedir(directory);
  EXPECT_EQ(names.size(), 10002u);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  // READDIRPLUS has brought the attributes along.
  const Requests before = mounted.requests();
  struct stat status {};
  for (int i = 0; i < 10000; i += 100)
    ASSERT_EQ(::stat((mounted / ("file-" + std::to_string(i))).c_str(), &status), 0);
  EXPECT_EQ(total(mounted.since(before)), 0u) << text_of(mounted.since(before));
}

TEST(FuseAdapter, LookupsOfTheKernelAreCountedAndForgotten) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "x"));
  struct stat status {};
  {
    const OpenFile file(mounted / "f", O_RDONLY);
    ASSERT_EQ(::fstat(file.get(), &status), 0);
    ASSERT_EQ(::unlink((mounted / "f").c_str()), 0);
    char byte = 0;
    EXPECT_EQ(::pread(file.get(), &byte, 1, 0), 1);
    EXPECT_GT(mounted.volume->with([&](MemoryVolume& v) { return v.lookups(Ino{status.st_ino}); }),
              0u);
  }
  // The FORGET follows the last close; a request after it on one queue has seen it handed out.
  for (int i = 0; i < 100000; ++i) {
    struct statvfs figures {};
    ::statvfs(mounted.path().c_str(), &figures);
    if (mounted.volume->with([&](MemoryVolume& v) { return v.lookups(Ino{status.st_ino}); }) == 0)
      return;
  }
  FAIL() << "the kernel never forgot the unlinked file";
}

TEST(FuseAdapter, TemporaryFilesHaveNoNameUntilLinked) {
  const MountedVolume mounted;
  const OpenFile file(mounted.path(), O_TMPFILE | O_RDWR, 0640);
#ifdef VARVE_FUSE_STATIC
  ASSERT_TRUE(file.valid()) << errno_text(errno);
  ASSERT_EQ(::write(file.get(), "tmp", 3), 3);
  EXPECT_EQ(list(mounted.path()).size(), 2u);
  const std::string self = "/proc/self/fd/" + std::to_string(file.get());
  ASSERT_EQ(
      ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, (mounted / "named").c_str(), AT_SYMLINK_FOLLOW), 0)
      << errno_text(errno);
  EXPECT_EQ(read_file(mounted / "named"), "tmp");
#else
  EXPECT_EQ(errno, EOPNOTSUPP);
#endif
}

TEST(FuseAdapter, DirectIoReadsAndWritesPastThePageCache) {
  const MountedVolume mounted;
  constexpr std::size_t kSize = 1u << 20;
  void* memory = nullptr;
  ASSERT_EQ(::posix_memalign(&memory, 4096, kSize), 0);
  const std::unique_ptr<char, void (*)(void*)> buffer(static_cast<char*>(memory), &std::free);
  for (std::size_t i = 0; i < kSize; ++i) buffer.get()[i] = static_cast<char>(i / 4096);
  const OpenFile file(mounted / "direct", O_RDWR | O_CREAT | O_DIRECT);
  ASSERT_TRUE(file.valid()) << errno_text(errno);
  ASSERT_EQ(::pwrite(file.get(), buffer.get(), kSize, 0), static_cast<ssize_t>(kSize));
  const std::string content = read_file(mounted / "direct");
  ASSERT_EQ(content.size(), kSize);
  EXPECT_EQ(content, std::string(buffer.get(), kSize));
  // A buffered write, then a direct read of the same bytes.
  const OpenFile buffered(mounted / "direct", O_WRONLY);
  ASSERT_EQ(::pwrite(buffered.get(), "changed", 7, 4096), 7);
  ASSERT_EQ(::pread(file.get(), buffer.get(), 8192, 0), 8192);
  EXPECT_EQ(std::string(buffer.get() + 4096, 7), "changed");
  const Requests before = mounted.requests();
  ASSERT_EQ(::pread(file.get(), buffer.get(), 4096, 0), 4096);
  EXPECT_EQ(mounted.since(before), (Requests{{"read", 1}}));
}

TEST(FuseAdapter, TruncationByOpenReachesTheVolume) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "a long text"));
  ASSERT_TRUE(write_file(mounted / "f", "short"));
  struct stat status {};
  ASSERT_EQ(::stat((mounted / "f").c_str(), &status), 0);
  EXPECT_EQ(
      mounted.volume->with([&](MemoryVolume& v) { return v.getattr(Ino{status.st_ino}); }).size,
      5u);
  EXPECT_EQ(read_file(mounted / "f"), "short");
}

TEST(FuseAdapter, TimesAreSetToTheNanosecond) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "x"));
  const timespec times[2] = {{1000000000, 123456789}, {1500000000, 987654321}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (mounted / "f").c_str(), times, 0), 0);
  struct stat status {};
  ASSERT_EQ(::stat((mounted / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_atim.tv_sec, 1000000000);
  EXPECT_EQ(status.st_atim.tv_nsec, 123456789);
  EXPECT_EQ(status.st_mtim.tv_sec, 1500000000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 987654321);
  const timespec now[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (mounted / "f").c_str(), now, 0), 0);
  ASSERT_EQ(::stat((mounted / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_atim.tv_sec, 1000000000);
  EXPECT_GT(status.st_mtim.tv_sec, 1500000000);
}

TEST(FuseAdapter, ExtendedAttributesFollowTheirContract) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "x"));
  const std::string path = mounted / "f";
  char value[64];
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", value, sizeof value), -1);
  EXPECT_EQ(errno, ENODATA);
  EXPECT_EQ(::getxattr(path.c_str(), "security.selinux", value, sizeof value), -1);
  EXPECT_EQ(errno, EOPNOTSUPP) << "ls -l would ask again for each file";
  ASSERT_EQ(::setxattr(path.c_str(), "user.a", "one", 3, XATTR_CREATE), 0);
  EXPECT_EQ(::setxattr(path.c_str(), "user.a", "two", 3, XATTR_CREATE), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(::setxattr(path.c_str(), "user.b", "two", 3, XATTR_REPLACE), -1);
  EXPECT_EQ(errno, ENODATA);
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", nullptr, 0), 3);
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", value, 2), -1);
  EXPECT_EQ(errno, ERANGE);
  ASSERT_EQ(::getxattr(path.c_str(), "user.a", value, sizeof value), 3);
  EXPECT_EQ(std::string(value, 3), "one");
  ASSERT_EQ(::listxattr(path.c_str(), value, sizeof value), 7);
  EXPECT_STREQ(value, "user.a");
  ASSERT_EQ(::removexattr(path.c_str(), "user.a"), 0);
  EXPECT_EQ(::listxattr(path.c_str(), nullptr, 0), 0);
}

TEST(FuseAdapter, NoxattrRefusesThemAll) {
  FuseMount::Options options;
  options.noxattr = true;
  const MountedVolume mounted(options);
  ASSERT_TRUE(write_file(mounted / "f", "x"));
  const std::string path = mounted / "f";
  char value[8];
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", value, sizeof value), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_EQ(::setxattr(path.c_str(), "user.a", "x", 1, 0), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  const Requests before = mounted.requests();
  EXPECT_EQ(::getxattr(path.c_str(), "user.b", value, sizeof value), -1);
  EXPECT_EQ(total(mounted.since(before)), 0u);
}

TEST(FuseAdapter, AllocationSeekAndCopyRangeReachTheVolume) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", std::string(8192, 'a')));
  const OpenFile file(mounted / "f", O_RDWR);
  ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  EXPECT_EQ(read_file(mounted / "f"), std::string(4096, '\0') + std::string(4096, 'a'));
  ASSERT_EQ(::fallocate(file.get(), 0, 8192, 4096), 0);
  EXPECT_EQ(read_file(mounted / "f").size(), 12288u);
  EXPECT_EQ(::fallocate(file.get(), FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_EQ(::fallocate(file.get(), FALLOC_FL_INSERT_RANGE, 0, 4096), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_EQ(::lseek(file.get(), 1 << 20, SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
  EXPECT_GE(::lseek(file.get(), 4096, SEEK_HOLE), 4096);
  const OpenFile to(mounted / "copy", O_RDWR | O_CREAT);
  loff_t from_offset = 4096;
  const Requests before = mounted.requests();
  ASSERT_EQ(::copy_file_range(file.get(), &from_offset, to.get(), nullptr, 4096, 0), 4096);
  EXPECT_EQ(mounted.since(before).count("copy_file_range"), 1u);
  EXPECT_EQ(read_file(mounted / "copy"), std::string(4096, 'a'));
  int flags = 0;
  EXPECT_EQ(::ioctl(file.get(), FS_IOC_GETVERSION, &flags), -1);
  EXPECT_EQ(errno, ENOTTY);
}

TEST(FuseAdapter, StatfsShowsTheVolumesFigures) {
  const MountedVolume mounted;
  struct statvfs figures {};
  ASSERT_EQ(::statvfs(mounted.path().c_str(), &figures), 0);
  EXPECT_EQ(figures.f_blocks * figures.f_frsize, 1u << 30);
  EXPECT_EQ(figures.f_bavail * figures.f_frsize, 1u << 29);
  EXPECT_EQ(figures.f_files, 1000u);
  EXPECT_EQ(figures.f_ffree, 500u);
  EXPECT_EQ(figures.f_namemax, 255u);
}

/// Runs `body` in a child that is not root; its exit status.
template <class Body>
int as_nobody(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(99);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

TEST(FuseAdapter, WritesOfUsersClearSetuidAndThoseOfRootDoNot) {
  FuseMount::Options options;
  options.allow_other = true;
  const MountedVolume mounted(options);
  const std::string path = mounted / "program";
  ASSERT_TRUE(write_file(path, "x"));
  ASSERT_EQ(::chmod(path.c_str(), 06777), 0);
  struct stat status {};
  {
    const OpenFile file(path, O_WRONLY);
    ASSERT_EQ(::write(file.get(), "y", 1), 1);
  }
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 06777u);
  EXPECT_FALSE(mounted.volume->last_write_cleared_setid());
  EXPECT_EQ(as_nobody([&] {
              const int file = ::open(path.c_str(), O_WRONLY);
              return ::write(file, "z", 1) == 1 ? 0 : 1;
            }),
            0);
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0777u);
  // chown always clears them.
  ASSERT_EQ(::chmod(path.c_str(), 06777), 0);
  ASSERT_EQ(::chown(path.c_str(), 1, 1), 0);
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0777u);
  // So does a user's truncation.
  ASSERT_EQ(::chmod(path.c_str(), 06777), 0);
  EXPECT_EQ(as_nobody([&] { return ::truncate(path.c_str(), 0) == 0 ? 0 : 1; }), 0);
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0777u);
}

/// An access ACL as an xattr: mode 0600, and `permissions` for the user nobody.
std::string acl_for_nobody(std::uint16_t permissions) {
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  const Entry entries[] = {
      {1, 6, ~0u}, {2, permissions, 65534}, {4, 0, ~0u}, {0x10, 7, ~0u}, {0x20, 0, ~0u}};
  const std::uint32_t version = 2;
  std::string out(reinterpret_cast<const char*>(&version), sizeof version);
  return out.append(reinterpret_cast<const char*>(entries), sizeof entries);
}

TEST(FuseAdapter, AclsAreEnforced) {
  FuseMount::Options options;
  options.allow_other = true;
  const MountedVolume mounted(options);
  const std::string path = mounted / "f";
  ASSERT_TRUE(write_file(path, "x"));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  const auto open_as_nobody = [&](int flags) {
    return as_nobody([&] { return ::open(path.c_str(), flags) < 0 ? errno : 0; });
  };
  EXPECT_EQ(open_as_nobody(O_RDONLY), EACCES);
  const std::string acl = acl_for_nobody(4);
  ASSERT_EQ(::setxattr(path.c_str(), "system.posix_acl_access", acl.data(), acl.size(), 0), 0)
      << errno_text(errno);
  EXPECT_EQ(open_as_nobody(O_RDONLY), 0);
  EXPECT_EQ(open_as_nobody(O_WRONLY), EACCES);
  ASSERT_EQ(::removexattr(path.c_str(), "system.posix_acl_access"), 0);
  EXPECT_EQ(open_as_nobody(O_RDONLY), EACCES);
}

TEST(FuseAdapter, AclsAreRefusedWhereNobodyChecksThem) {
  FuseMount::Options options;
  options.acl = false;
  options.allow_other = true;
  const MountedVolume mounted(options);
  const std::string path = mounted / "f";
  ASSERT_TRUE(write_file(path, "x"));
  const std::string acl = acl_for_nobody(4);
  EXPECT_EQ(::setxattr(path.c_str(), "system.posix_acl_access", acl.data(), acl.size(), 0), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  // Then other users' walks through the root cost nothing either.
  EXPECT_EQ(as_nobody([&] { return ::access(path.c_str(), R_OK) == 0 ? 0 : errno; }), 0);
  const Requests before = mounted.requests();
  EXPECT_EQ(as_nobody([&] { return ::access(path.c_str(), R_OK) == 0 ? 0 : errno; }), 0);
  EXPECT_EQ(total(mounted.since(before)), 0u) << text_of(mounted.since(before));
}

TEST(FuseAdapter, PermissionsAreCheckedByTheKernel) {
  FuseMount::Options options;
  options.allow_other = true;
  const MountedVolume mounted(options);
  const std::string path = mounted / "private";
  ASSERT_TRUE(write_file(path, "x"));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(as_nobody([&] { return ::open(path.c_str(), O_RDONLY) < 0 ? errno : 0; }), EACCES);
  EXPECT_EQ(as_nobody([&] {
              return ::open((mounted / "new").c_str(), O_WRONLY | O_CREAT, 0644) < 0 ? errno : 0;
            }),
            EACCES);
}

TEST(FuseAdapter, NewFilesBelongToTheirMakerAndHonourTheUmask) {
  FuseMount::Options options;
  options.allow_other = true;
  const MountedVolume mounted(options);
  ASSERT_EQ(::chmod(mounted.path().c_str(), 0777), 0);
  EXPECT_EQ(as_nobody([&] {
              ::umask(027);
              return ::open((mounted / "mine").c_str(), O_WRONLY | O_CREAT, 0666) < 0 ? errno : 0;
            }),
            0);
  struct stat status {};
  ASSERT_EQ(::stat((mounted / "mine").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 65534u);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST(FuseAdapter, ConcurrentWritersAndReadersSeeWholeFiles) {
  const MountedVolume mounted;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string name = mounted / (std::to_string(t) + "-" + std::to_string(i));
        const std::string text(static_cast<std::size_t>(1000 * (t + 1) + i),
                               static_cast<char>('a' + t));
        if (!write_file(name, text) || read_file(name) != text) wrong.fetch_add(1);
        if (i % 2 == 0 && ::unlink(name.c_str()) != 0) wrong.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(list(mounted.path()).size(), 2u + 8 * 25);
}

}  // namespace
}  // namespace varve::test
