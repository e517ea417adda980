// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#include "mountd/fuse_library.h"

namespace varve::test {

/// Debian 12's own library answers INIT in an older form.
inline constexpr bool kLibraryLacksIdmapping = FUSE_VERSION < FUSE_MAKE_VERSION(3, 17);

/// By its version: what a mount allows is what the tests look at.
inline bool kernel_maps_ids() {
  utsname system{};
  unsigned major = 0, minor = 0;
  return ::uname(&system) == 0 && std::sscanf(system.release, "%u.%u", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 12));
}

/// Runs `body` in a child as the user and group `id` without capabilities; its errno, 0 if `body`
/// returns 0, -1 if the child could not become the user. With `id` 0 it keeps all capabilities.
inline int as_user(std::uint32_t id, const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgroups(0, nullptr) != 0 || ::syscall(SYS_setresgid, id, id, id) != 0 ||
        ::syscall(SYS_setresuid, id, id, id) != 0)
      ::_exit(255);
    ::_exit(body() == 0 ? 0 : errno);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status) == 255 ? -1 : WEXITSTATUS(status);
}

/// A user namespace in which the ids 0 to `count` - 1 are the host's from `first` on.
class UserNamespace {
 public:
  UserNamespace(std::uint32_t first, std::uint32_t count) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
    // Not fork and unshare: under the thread sanitizer the child has a second thread, and unshare
    // refuses that. Nothing of the sanitizer may run in such a child, so it makes system calls
    // only.
    const auto child = static_cast<pid_t>(
        ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, 0));
    if (child == 0) {
      char made = 1;
      ::syscall(SYS_close, ends[0]);  // or its end is never seen
      ::syscall(SYS_write, ends[1], &made, 1);
      ::syscall(SYS_read, ends[1], &made, 1);
      ::syscall(SYS_exit_group, 0);
    }
    ::close(ends[1]);
    char made = 0;
    if (child > 0 && ::read(ends[0], &made, 1) == 1 && made == 1) open(child, first, count);
    ::close(ends[0]);
    if (child > 0) ::waitpid(child, nullptr, 0);
    if (fd_ < 0) fail("a user namespace");
  }
  ~UserNamespace() { ::close(fd_); }
  UserNamespace(const UserNamespace&) = delete;
  UserNamespace& operator=(const UserNamespace&) = delete;
  int get() const { return fd_; }

 private:
  void open(pid_t child, std::uint32_t first, std::uint32_t count) {
    const std::string process = "/proc/" + std::to_string(child);
    for (const char* map : {"/uid_map", "/gid_map"}) {
      std::ofstream file(process + map);
      file << "0 " << first << ' ' << count << '\n' << std::flush;
      if (!file) return;
    }
    fd_ = ::open((process + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC);
  }
  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
  }

  int fd_ = -1;
};

/// A second mount of `source` at `path`, an empty directory, where the owners 0 to `count` - 1 are
/// shown as those from `first` on. Gone at the end of the scope.
class IdmappedView {
 public:
  IdmappedView(const std::string& source, std::string path, std::uint32_t first,
               std::uint32_t count)
      : path_(std::move(path)) {
    const UserNamespace owners(first, count);
    const int tree = ::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) {
      error_ = errno;
      return;
    }
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(owners.get());
    if (::mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0 ||
        ::move_mount(tree, "", AT_FDCWD, path_.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
      error_ = errno;
    ::close(tree);
  }
  ~IdmappedView() {
    if (error_ == 0) ::umount2(path_.c_str(), MNT_DETACH);
  }
  IdmappedView(const IdmappedView&) = delete;
  IdmappedView& operator=(const IdmappedView&) = delete;

  /// 0, or the errno with which the kernel refused the view.
  int error() const { return error_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  int error_ = 0;
};

}  // namespace varve::test
