// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_device.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "mountd/argv.h"
#include "mountd/resolved_path.h"
#include "mountd/unix_socket.h"
#include "store/base/error.h"

extern char** environ;

namespace varve {
namespace {

constexpr const char* kDevice = "/dev/fuse";

[[noreturn]] void refuse_mount_point(const std::string& path, int error) {
  const std::string point = "mount point " + path;
  switch (error) {
    case ENOENT:
      throw UserError(error, point + " does not exist; make the directory first");
    case ENOTDIR:
      throw UserError(error, point + " is not a directory; choose a directory");
    case ENOTCONN:
      throw UserError(EBUSY, point + " is a mount whose daemon is gone; unmount it first");
    default:
      throw UserError(error, point + " cannot be used: " + errno_text(error));
  }
}

/// Empty if this user may not open it: fusermount3 may.
Descriptor open_device() {
  Descriptor device(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (device) return device;
  switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      throw UserError(errno, std::string(kDevice) +
                                 " is missing; load the kernel module (modprobe fuse), or give the "
                                 "container the device (--device /dev/fuse)");
    case EACCES:
    case EPERM:
      if (::geteuid() != 0) return device;
      throw UserError(errno, std::string(kDevice) +
                                 " may not be opened; in a container add --device /dev/fuse and "
                                 "--cap-add SYS_ADMIN");
    default:
      throw UserError(errno, std::string(kDevice) + " cannot be opened: " + errno_text(errno));
  }
}

unsigned long mount_flags(const FuseMount::Options& options) {
  unsigned long flags = 0;
  if (options.read_only) flags |= MS_RDONLY;
  if (options.nosuid) flags |= MS_NOSUID;
  if (options.nodev) flags |= MS_NODEV;
  if (options.noexec) flags |= MS_NOEXEC;
  if (options.noatime) flags |= MS_NOATIME;
  return flags;
}

/// mount(2); false if this process may not.
bool mount_directly(const FuseMount::Options& options, int device) {
  const ResolvedPath point = ResolvedPath::directory(options.mountpoint);
  char data[160];
  std::snprintf(data, sizeof data, "fd=%d,rootmode=%o,user_id=%u,group_id=%u%s%s", device,
                static_cast<unsigned>(S_IFDIR), ::getuid(), ::getgid(),
                options.default_permissions ? ",default_permissions" : "",
                options.allow_other ? ",allow_other" : "");
  if (::mount(options.fsname.c_str(), point.path().c_str(), "fuse.varve", mount_flags(options),
              data) == 0)
    return true;
  const int error = errno;
  if (error == EPERM) return false;
  if (error == ENODEV)
    throw UserError(error, "this kernel has no FUSE; load the module with: modprobe fuse");
  throw UserError(error, "mounting on " + options.mountpoint + " failed: " + errno_text(error));
}

/// Commas and backslashes as fusermount3 wants them.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string helper_options(const FuseMount::Options& options) {
  std::string text = "fsname=" + escaped(options.fsname) + ",subtype=varve";
  if (options.default_permissions) text += ",default_permissions";
  if (options.allow_other) text += ",allow_other";
  if (options.read_only) text += ",ro";
  if (options.noexec) text += ",noexec";
  if (options.noatime) text += ",noatime";
  return text;
}

struct HelperResult {
  int status = 0;
  std::string words;  ///< what it wrote to standard error
};

/// Runs fusermount3 with `arguments`; `channel` (or -1) becomes its _FUSE_COMMFD.
HelperResult run_helper(std::vector<std::string> arguments, int channel) {
  arguments.insert(arguments.begin(), "fusermount3");
  const std::vector<char*> argv = argv_of(arguments);
  std::string variable = "_FUSE_COMMFD=3";
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  if (channel >= 0) environment.push_back(variable.data());
  environment.push_back(nullptr);

  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) throw_errno("make a pipe for fusermount3");
  const Descriptor reading(pipe_ends[0]);
  Descriptor writing(pipe_ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, writing.get(), 2);
  if (channel >= 0) posix_spawn_file_actions_adddup2(&actions, channel, 3);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    throw UserError(
        error, "fusermount3 cannot be run: " + errno_text(error) + "; install the package fuse3");
  writing.reset();
  HelperResult result;
  char buffer[512];
  for (ssize_t got; (got = ::read(reading.get(), buffer, sizeof buffer)) > 0;)
    result.words.append(buffer, static_cast<std::size_t>(got));
  while (!result.words.empty() && result.words.back() == '\n') result.words.pop_back();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return result;
}

/// The descriptor that fusermount3 sent through `channel`; -1 if none.
int receive_descriptor(int channel) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  while ((got = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) < 0 &&
         errno == EINTR) {
  }
  const cmsghdr* header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return -1;
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  return descriptor;
}

Descriptor mount_with_helper(const FuseMount::Options& options) {
  int ends[2];
  // Above 3, so that the helper's descriptor 3 cannot be one of them already.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw_errno("make a socket for fusermount3");
  const Descriptor ours(::fcntl(ends[0], F_DUPFD_CLOEXEC, 10));
  Descriptor theirs(::fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
  ::close(ends[0]);
  ::close(ends[1]);
  const HelperResult result =
      run_helper({"-o", helper_options(options), "--", options.mountpoint}, theirs.get());
  theirs.reset();
  Descriptor device(receive_descriptor(ours.get()));
  if (!device || result.status != 0)
    throw UserError(EPERM, "mounting on " + options.mountpoint + " was refused: " +
                               (result.words.empty() ? "fusermount3 failed" : result.words));
  return Descriptor(device.release());
}

std::uint64_t device_of(const std::string& path) {
  struct statx status {};
  // DONT_SYNC: what the kernel knows by itself, so nobody needs to answer.
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, STATX_TYPE,
              &status) != 0)
    return 0;
  return makedev(status.stx_dev_major, status.stx_dev_minor);
}

}  // namespace

void check_mount_directory(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) refuse_mount_point(path, errno);
  struct statx status {};
  if (::statx(directory.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) != 0)
    refuse_mount_point(path, errno);
  if ((status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    struct stat probe {};
    if (::stat(path.c_str(), &probe) != 0 && errno == ENOTCONN) refuse_mount_point(path, ENOTCONN);
    throw UserError(EBUSY, "mount point " + path +
                               " is a mount already; unmount it or choose another directory");
  }
}

FuseDevice mount_fuse(const FuseMount::Options& options) {
  FuseDevice mounted;
  Descriptor device = open_device();
  if (device && mount_directly(options, device.get())) {
    mounted.descriptor = device.release();
  } else {
    device.reset();
    mounted.descriptor = mount_with_helper(options).release();
  }
  mounted.device = device_of(options.mountpoint);
  return mounted;
}

bool is_mounted_at(const std::string& path, std::uint64_t device) {
  return device != 0 && device_of(path) == device;
}

void unmount_fuse(const std::string& path, std::uint64_t device, Detach how) {
  if (!is_mounted_at(path, device))
    throw UserError(EINVAL, path +
                                " does not show this mount: it was moved, detached, or something "
                                "is mounted over it");
  int flags = UMOUNT_NOFOLLOW;
  if (how != Detach::kIfIdle) flags |= MNT_DETACH;
  if (how == Detach::kAborting) flags |= MNT_FORCE;
  const ResolvedPath point = ResolvedPath::entry(path);
  if (::umount2(point.path().c_str(), flags) == 0) return;
  const int error = errno;
  if (error == EPERM) {
    if (how == Detach::kAborting) abort_connection(device);
    std::vector<std::string> arguments = {"-u"};
    if (how != Detach::kIfIdle) arguments.emplace_back("-z");
    arguments.insert(arguments.end(), {"--", path});
    const HelperResult result = run_helper(arguments, -1);
    if (result.status == 0) return;
    const bool busy = result.words.find("busy") != std::string::npos;
    throw UserError(busy ? EBUSY : EPERM, path + " cannot be unmounted: " + result.words);
  }
  if (error == EBUSY)
    throw UserError(error, path + " is in use; find the users with 'fuser -vm " + path +
                               "', or unmount lazily");
  throw UserError(error, path + " cannot be unmounted: " + errno_text(error));
}

bool abort_connection(std::uint64_t device) {
  const std::string path = "/sys/fs/fuse/connections/" + std::to_string(minor(device)) + "/abort";
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), "1", 1) == 1;
}

}  // namespace varve
