// SPDX-License-Identifier: Apache-2.0
#include "mountd/mount_point.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "mountd/resolved_path.h"
#include "mountd/unix_socket.h"
#include "store/base/error.h"

extern char** environ;

namespace varve {
namespace {

std::string resolved(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (real == nullptr)
    throw UserError(errno, path + ": " + errno_text(errno) + "; give an existing directory");
  return real.get();
}

bool is_inside(const std::string& path, const std::string& directory) {
  if (directory == "/") return true;
  return path == directory ||
         (path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
          path[directory.size()] == '/');
}

/// Undoes the octal escapes (\040) of /proc/self/mountinfo.
std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3') {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

[[noreturn]] void refuse_open(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      throw UserError(ENOENT, "mount point " + path + " does not exist; make the directory first");
    case ENOTDIR:
      throw UserError(ENOTDIR, "mount point " + path + " is not a directory; choose a directory");
    case ENOTCONN:
      throw UserError(EBUSY, "mount point " + path +
                                 " is a mount whose daemon is gone; run 'varve umount " + path +
                                 "' first");
    default:
      throw UserError(error, "mount point " + path + " cannot be used: " + errno_text(error));
  }
}

void check_directory(const std::string& path) {
  // The mount point of a dead FUSE mount is recognised without asking the mount.
  const Descriptor directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) {
    const int error = errno;
    struct stat status {};
    if (error == ENOTDIR && ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode))
      throw UserError(
          ENOTDIR, "mount point " + path + " is a symbolic link; give the directory it points to");
    refuse_open(path, error);
  }
  struct statx status {};
  if (::statx(directory.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) != 0)
    refuse_open(path, errno);
  if ((status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    if (is_dead_mount(path)) refuse_open(path, ENOTCONN);
    throw UserError(EBUSY, "mount point " + path +
                               " is a mount already; unmount it or choose another directory");
  }
  if (::geteuid() != 0 && ::faccessat(directory.get(), ".", W_OK, AT_EACCESS) != 0)
    throw UserError(
        EACCES, "mount point " + path + " is not writable for you; choose a directory of your own");
}

}  // namespace

std::string absolute_mount_point(const std::string& path) {
  if (path.empty()) throw UserError(EINVAL, "the mount point is empty; give a directory");
  if (path.find('\0') != std::string::npos)
    throw UserError(EINVAL, "the mount point holds a zero byte; give a directory");
  std::string text = path;
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  const std::size_t slash = text.rfind('/');
  const std::string name = slash == std::string::npos ? text : text.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return resolved(text);
  const std::string parent =
      resolved(slash == std::string::npos ? "." : (slash == 0 ? "/" : text.substr(0, slash)));
  return parent == "/" ? "/" + name : parent + "/" + name;
}

void check_mount_point(const std::string& path, const std::string& store) {
  if (is_inside(path, store))
    throw UserError(EINVAL, "mount point " + path + " lies inside the store " + store +
                                "; choose a directory outside");
  if (is_inside(store, path))
    throw UserError(EINVAL, "mount point " + path + " would hide the store " + store +
                                "; choose a directory that does not hold the store");
  check_directory(path);
}

std::vector<KernelMount> kernel_mounts() {
  std::vector<KernelMount> mounts;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    // ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [FIELDS...] - TYPE SOURCE SUPEROPTIONS
    std::istringstream words(line);
    std::string word, mount_point, type, source;
    for (int i = 0; i < 5; ++i) words >> mount_point;
    while (words >> word && word != "-") {
    }
    words >> type >> source;
    if (type == "fuse.varve") mounts.push_back({unescape(mount_point), unescape(source)});
  }
  return mounts;
}

bool is_dead_mount(const std::string& mount_point) {
  // Unlike stat(2), which the kernel answers from its cache, this always asks the daemon. It is
  // ECONNABORTED when the daemon died while it was asked.
  struct statfs figures {};
  return ::statfs(mount_point.c_str(), &figures) != 0 &&
         (errno == ENOTCONN || errno == ECONNABORTED);
}

std::optional<KernelMount> kernel_mount_at(const std::string& mount_point) {
  std::optional<KernelMount> found;
  for (KernelMount& mount : kernel_mounts())
    if (mount.mount_point == mount_point) found = std::move(mount);
  return found;
}

bool clear_dead_mounts(const std::string& mount_point) {
  bool any = false;
  while (kernel_mount_at(mount_point) && is_dead_mount(mount_point)) {
    detach_stale_mount(mount_point);
    any = true;
  }
  return any;
}

void detach_stale_mount(const std::string& mount_point) {
  if (::geteuid() == 0) {
    const ResolvedPath point = ResolvedPath::entry(mount_point);
    if (::umount2(point.path().c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
    const int error = errno;
    throw UserError(error, mount_point + " cannot be unmounted: " + errno_text(error));
  }
  std::string words[] = {"fusermount3", "-u", "-z", "--", mount_point};
  char* arguments[] = {words[0].data(), words[1].data(), words[2].data(),
                       words[3].data(), words[4].data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments, environ);
  if (error != 0)
    throw UserError(
        error, "fusermount3 cannot be run: " + errno_text(error) + "; install the package fuse3");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw UserError(EPERM, mount_point + " cannot be unmounted; it is not a mount of yours");
}

}  // namespace varve
