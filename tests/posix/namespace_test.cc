// SPDX-License-Identifier: Apache-2.0
//
// Names: links, renames, unlinked files, special files, limits.

#include <linux/fs.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <algorithm>

#include "tests/posix/posix_support.h"

namespace varve::posix {
namespace {

using Links = Posix;
using Rename = Posix;
using Unlink = Posix;
using Nodes = Posix;
using Names = Posix;

TEST_F(Links, HardLinksShareOneFile) {
  write_file("one", "first");
  ASSERT_OK(link(path("one").c_str(), path("two").c_str()));
  EXPECT_EQ(status("one").st_ino, status("two").st_ino);
  EXPECT_EQ(status("one").st_nlink, 2u);
  write_file("two", "second");
  EXPECT_EQ(read_file("one"), "second");
  ASSERT_OK(unlink(path("one").c_str()));
  EXPECT_EQ(status("two").st_nlink, 1u);
  EXPECT_EQ(read_file("two"), "second");
}

TEST_F(Links, RefusedWhereTheyMustBe) {
  write_file("file", "x");
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  EXPECT_ERRNO(link(path("file").c_str(), path("dir").c_str()), EEXIST);
  EXPECT_ERRNO(link(path("dir").c_str(), path("other").c_str()), EPERM);
  EXPECT_ERRNO(link(path("missing").c_str(), path("other").c_str()), ENOENT);
  EXPECT_ERRNO(link(path("file").c_str(), path("file/below").c_str()), ENOTDIR);
}

TEST_F(Links, AThousandNamesForOneFile) {
  write_file("file", "content");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_OK(link(path("file").c_str(), path("name" + std::to_string(i)).c_str()));
  }
  EXPECT_EQ(status("file").st_nlink, 1001u);
  for (int i = 0; i < 1000; ++i) ASSERT_OK(unlink(path("name" + std::to_string(i)).c_str()));
  EXPECT_EQ(status("file").st_nlink, 1u);
}

TEST_F(Links, SymlinksHoldUpTo4095Bytes) {
  for (const size_t size : {size_t{1}, size_t{60}, size_t{1024}, size_t{1025}, size_t{4095}}) {
    std::string target(size, 't');
    for (size_t i = 200; i < size; i += 200) target[i] = '/';
    const std::string name = "link" + std::to_string(size);
    ASSERT_OK(symlink(target.c_str(), path(name).c_str())) << size;
    char buffer[8192];
    ASSERT_EQ(readlink(path(name).c_str(), buffer, sizeof buffer), static_cast<ssize_t>(size));
    EXPECT_EQ(std::string(buffer, size), target);
    EXPECT_EQ(status(name).st_size, static_cast<off_t>(size));
    EXPECT_TRUE(S_ISLNK(status(name).st_mode));
  }
  EXPECT_ERRNO(symlink(std::string(4096, 't').c_str(), path("long").c_str()), ENAMETOOLONG);
  EXPECT_ERRNO(symlink("", path("empty").c_str()), ENOENT);
}

TEST_F(Links, SymlinksAreFollowedAndCounted) {
  write_file("file", "content");
  ASSERT_OK(symlink("file", path("one").c_str()));
  ASSERT_OK(symlink("one", path("two").c_str()));
  EXPECT_EQ(read_file("two"), "content");
  ASSERT_OK(symlink("loop", path("loop").c_str()));
  EXPECT_ERRNO(open_file("loop", O_RDONLY), ELOOP);
  ASSERT_OK(link(path("one").c_str(), path("hard").c_str()));
  EXPECT_TRUE(S_ISLNK(status("hard").st_mode));
  EXPECT_EQ(status("hard").st_nlink, 2u);
}

TEST_F(Links, DirectoriesCountTheirSubdirectories) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  const nlink_t empty = status("dir").st_nlink;
  for (int i = 0; i < 5; ++i) ASSERT_OK(mkdir(path("dir/" + std::to_string(i)).c_str(), 0755));
  write_file("dir/file", "");
  EXPECT_TRUE(empty == 1 || status("dir").st_nlink == empty + 5);
  ASSERT_OK(rename(path("dir/0").c_str(), path("moved").c_str()));
  EXPECT_TRUE(empty == 1 || status("dir").st_nlink == empty + 4);
  ASSERT_OK(rmdir(path("dir/1").c_str()));
  EXPECT_TRUE(empty == 1 || status("dir").st_nlink == empty + 3);
}

class RenameFlags : public Posix {
 protected:
  int rename_with(const std::string& from, const std::string& to, unsigned flags) const {
    return static_cast<int>(
        syscall(SYS_renameat2, AT_FDCWD, path(from).c_str(), AT_FDCWD, path(to).c_str(), flags));
  }
};

TEST_F(Rename, ReplacesAtomicallyAndKeepsTheInode) {
  write_file("from", "new");
  write_file("to", "old");
  const ino_t ino = status("from").st_ino;
  const Fd old = open_file("to", O_RDONLY);
  ASSERT_OK(rename(path("from").c_str(), path("to").c_str()));
  EXPECT_EQ(read_file("to"), "new");
  EXPECT_EQ(status("to").st_ino, ino);
  EXPECT_EQ(read_at(old, 10, 0), "old");
  EXPECT_EQ(names_in("."), std::vector<std::string>{"to"});
}

TEST_F(Rename, ToAnotherLinkOfTheSameFileDoesNothing) {
  write_file("one", "x");
  ASSERT_OK(link(path("one").c_str(), path("two").c_str()));
  ASSERT_OK(rename(path("one").c_str(), path("two").c_str()));
  EXPECT_EQ(status("one").st_nlink, 2u);
  EXPECT_EQ(status("two").st_nlink, 2u);
}

TEST_F(Rename, ObeysTheRulesForDirectories) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(mkdir(path("dir/sub").c_str(), 0755));
  ASSERT_OK(mkdir(path("full").c_str(), 0755));
  write_file("full/file", "x");
  ASSERT_OK(mkdir(path("empty").c_str(), 0755));
  write_file("file", "x");
  EXPECT_ERRNO(rename(path("dir").c_str(), path("dir/sub/below").c_str()), EINVAL);
  EXPECT_ERRNO(rename(path("dir").c_str(), path("full").c_str()), ENOTEMPTY);
  EXPECT_ERRNO(rename(path("dir").c_str(), path("file").c_str()), ENOTDIR);
  EXPECT_ERRNO(rename(path("file").c_str(), path("dir").c_str()), EISDIR);
  EXPECT_ERRNO(rename(path("missing").c_str(), path("dir").c_str()), ENOENT);
  ASSERT_OK(rename(path("dir").c_str(), path("empty").c_str()));
  EXPECT_EQ(names_in("empty"), std::vector<std::string>{"sub"});
}

TEST_F(Rename, MovesASubtreeAndItsParentEntry) {
  ASSERT_OK(mkdir(path("a").c_str(), 0755));
  ASSERT_OK(mkdir(path("b").c_str(), 0755));
  ASSERT_OK(mkdir(path("a/tree").c_str(), 0755));
  write_file("a/tree/file", "content");
  ASSERT_OK(rename(path("a/tree").c_str(), path("b/tree").c_str()));
  EXPECT_EQ(read_file("b/tree/file"), "content");
  EXPECT_EQ(status("b/tree/..").st_ino, status("b").st_ino);
  EXPECT_TRUE(names_in("a").empty());
}

TEST_F(RenameFlags, NoReplaceRefusesAnExistingName) {
  write_file("from", "from");
  write_file("to", "to");
  EXPECT_ERRNO(rename_with("from", "to", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(read_file("to"), "to");
  ASSERT_OK(rename_with("from", "other", RENAME_NOREPLACE));
  EXPECT_EQ(read_file("other"), "from");
}

TEST_F(RenameFlags, ExchangeSwapsAFileAndADirectory) {
  write_file("file", "content");
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(mkdir(path("dir/sub").c_str(), 0755));
  write_file("dir/sub/inner", "inner");
  ASSERT_OK(rename_with("file", "dir/sub", RENAME_EXCHANGE));
  EXPECT_EQ(read_file("dir/sub"), "content");
  EXPECT_EQ(read_file("file/inner"), "inner");
  EXPECT_EQ(status("file/..").st_ino, status(".").st_ino);
  EXPECT_ERRNO(rename_with("file", "missing", RENAME_EXCHANGE), ENOENT);
  EXPECT_ERRNO(rename_with("file", "dir", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
  EXPECT_ERRNO(rename_with("dir", "dir/sub", RENAME_EXCHANGE), EINVAL);
}

TEST_F(Unlink, OpenFileLivesOn) {
  write_file("file", "before");
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(unlink(path("file").c_str()));
  EXPECT_ERRNO(open_file("file", O_RDONLY), ENOENT);
  const std::string bytes = pattern(300'000);
  ASSERT_EQ(pwrite(file, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  ASSERT_OK(fsync(file));
  EXPECT_TRUE(read_at(file, bytes.size(), 0) == bytes);
  ASSERT_OK(ftruncate(file, 10));
  ASSERT_OK(fchmod(file, 0600));
  struct stat found {};
  ASSERT_OK(fstat(file, &found));
  EXPECT_EQ(found.st_nlink, 0u);
  EXPECT_EQ(found.st_size, 10);
  write_file("file", "another");
  EXPECT_EQ(read_at(file, 10, 0), bytes.substr(0, 10));
}

TEST_F(Unlink, ReplacedOpenFileLivesOn) {
  write_file("file", "old");
  write_file("new", "new");
  const Fd old = open_file("file", O_RDWR);
  ASSERT_OK(rename(path("new").c_str(), path("file").c_str()));
  ASSERT_EQ(pwrite(old, "more", 4, 3), 4);
  EXPECT_EQ(read_at(old, 10, 0), "oldmore");
  EXPECT_EQ(read_file("file"), "new");
}

TEST_F(Unlink, RemovedDirectoryTakesNoNewEntries) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  const Fd directory_fd(open(path("dir").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_OK(rmdir(path("dir").c_str()));
  EXPECT_ERRNO(openat(directory_fd, "file", O_CREAT | O_WRONLY, 0644), ENOENT);
  EXPECT_ERRNO(mkdirat(directory_fd, "sub", 0755), ENOENT);
}

TEST_F(Unlink, RefusesDirectoriesAndFullOnes) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  write_file("dir/file", "x");
  EXPECT_ERRNO(unlink(path("dir").c_str()), EISDIR);
  EXPECT_ERRNO(rmdir(path("dir").c_str()), ENOTEMPTY);
  EXPECT_ERRNO(rmdir(path("dir/file").c_str()), ENOTDIR);
  EXPECT_ERRNO(rmdir(path("dir/.").c_str()), EINVAL);
}

TEST_F(Nodes, FifoSocketAndDevicesKeepTheirKind) {
  ASSERT_OK(mkfifo(path("fifo").c_str(), 0640));
  EXPECT_TRUE(S_ISFIFO(status("fifo").st_mode));
  EXPECT_EQ(mode_of("fifo"), 0640u);
  ASSERT_OK(mknod(path("socket").c_str(), S_IFSOCK | 0600, 0));
  EXPECT_TRUE(S_ISSOCK(status("socket").st_mode));
  ASSERT_OK(mknod(path("null").c_str(), S_IFCHR | 0666, makedev(1, 3)));
  EXPECT_TRUE(S_ISCHR(status("null").st_mode));
  EXPECT_EQ(status("null").st_rdev, makedev(1, 3));
  ASSERT_OK(mknod(path("block").c_str(), S_IFBLK | 0600, makedev(259, 70'000)));
  EXPECT_TRUE(S_ISBLK(status("block").st_mode));
  EXPECT_EQ(status("block").st_rdev, makedev(259, 70'000));
  ASSERT_OK(mknod(path("plain").c_str(), S_IFREG | 0644, 0));
  EXPECT_TRUE(S_ISREG(status("plain").st_mode));
  EXPECT_ERRNO(mknod(path("plain").c_str(), S_IFREG | 0644, 0), EEXIST);
}

TEST_F(Nodes, AFifoCarriesBytesBetweenProcesses) {
  ASSERT_OK(mkfifo(path("fifo").c_str(), 0600));
  const pid_t child = fork();
  if (child == 0) {
    const Fd out = open_file("fifo", O_WRONLY);
    _exit(write_all(out, "through") == 7 ? 0 : 1);
  }
  EXPECT_EQ(read_file("fifo"), "through");
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_EQ(state, 0);
}

TEST_F(Nodes, ASocketCanBeBoundAndConnected) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const Fd here(open(directory().c_str(), O_PATH | O_CLOEXEC));
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/socket",
                static_cast<int>(here));
  const Fd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  ASSERT_OK(bind(server, generic, sizeof address));
  ASSERT_OK(listen(server, 1));
  ASSERT_OK(connect(client, generic, sizeof address));
  EXPECT_TRUE(S_ISSOCK(status("socket").st_mode));
}

TEST_F(Names, HoldUpTo255BytesOfAnything) {
  const std::string longest(255, 'n');
  write_file(longest, "x");
  EXPECT_EQ(names_in("."), std::vector<std::string>{longest});
  EXPECT_ERRNO(open_file(longest + "n", O_WRONLY | O_CREAT), ENAMETOOLONG);
  EXPECT_ERRNO(mkdir(path(longest + "n").c_str(), 0755), ENAMETOOLONG);
  EXPECT_ERRNO(rename(path(longest).c_str(), path(longest + "n").c_str()), ENAMETOOLONG);
  EXPECT_ERRNO(symlink("x", path(longest + "n").c_str()), ENAMETOOLONG);
  ASSERT_OK(unlink(path(longest).c_str()));
  std::string strange;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte != '/') strange += static_cast<char>(byte);
  }
  write_file(strange, "strange");
  EXPECT_EQ(read_file(strange), "strange");
  EXPECT_EQ(names_in("."), std::vector<std::string>{strange});
}

TEST_F(Names, ThatDifferInOneByteAreDifferent) {
  const std::vector<std::string> names = {"a", "A", "a ", " a", "a.", "\xc3\xa9", "e\xcc\x81"};
  for (const std::string& name : names) write_file(name, name);
  for (const std::string& name : names) EXPECT_EQ(read_file(name), name);
  EXPECT_EQ(names_in(".").size(), names.size());
}

TEST_F(Names, InodeNumbersOutliveTheCaches) {
  std::vector<ino_t> before;
  for (int i = 0; i < 100; ++i) {
    write_file("file" + std::to_string(i), "x");
    before.push_back(status("file" + std::to_string(i)).st_ino);
  }
  const Fd drop(open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
  ASSERT_OK(drop);
  ASSERT_EQ(write(drop, "2", 1), 1);
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(status("file" + std::to_string(i)).st_ino, before[i]);
  }
  std::sort(before.begin(), before.end());
  EXPECT_EQ(std::unique(before.begin(), before.end()), before.end());
}

TEST_F(Names, ADeepPathWorks) {
  std::string name = "d";
  ASSERT_OK(mkdir(path(name).c_str(), 0755));
  for (int depth = 0; depth < 200; ++depth) {
    name += "/d";
    ASSERT_OK(mkdir(path(name).c_str(), 0755));
  }
  write_file(name + "/file", "deep");
  EXPECT_EQ(read_file(name + "/file"), "deep");
}

}  // namespace
}  // namespace varve::posix
