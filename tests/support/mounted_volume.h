// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "mountd/fuse_mount.h"
#include "tests/support/shared_volume.h"
#include "tests/support/temp_directory.h"

namespace varve::test {

inline Time real_time() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
}

/// A volume in memory on a real mount in a directory of its own; both are gone at the end of the
/// scope, whatever happened in between.
class MountedVolume {
 public:
  explicit MountedVolume(FuseMount::Options options = {}, bool read_only_volume = false)
      : volume(std::make_shared<SharedVolume>(&real_time)) {
    if (read_only_volume) volume->set_read_only();
    options.mountpoint = directory_ / "mnt";
    ::mkdir(options.mountpoint.c_str(), 0755);
    ::chmod(directory_.path().c_str(), 0755);
    if (options.volume.empty()) options.volume = "test";
    if (over_uring()) options.transport = FuseMount::Transport::kUring;
    path_ = options.mountpoint;
    mount = FuseMount::mount(volume, options);
  }
  ~MountedVolume() {
    volume->fsync_gate.open();
    volume->write_gate.open();
    mount.reset();
    ::umount2(path_.c_str(), MNT_DETACH | MNT_FORCE);
  }
  MountedVolume(const MountedVolume&) = delete;
  MountedVolume& operator=(const MountedVolume&) = delete;

  /// VARVE_TEST_TRANSPORT=uring runs every test over io_uring, where the kernel has it switched on.
  static bool over_uring() {
    const char* wanted = std::getenv("VARVE_TEST_TRANSPORT");
    return wanted != nullptr && std::string(wanted) == "uring";
  }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  /// Requests answered so far, FORGETs left out: the kernel sends them when it likes.
  std::map<std::string, std::uint64_t> requests() const {
    auto out = mount->figures().requests;
    out.erase("forget");
    return out;
  }
  /// Requests by type since `before`.
  std::map<std::string, std::uint64_t> since(
      const std::map<std::string, std::uint64_t>& before) const {
    auto out = requests();
    for (const auto& [type, count] : before)
      if ((out[type] -= count) == 0) out.erase(type);
    return out;
  }

  std::shared_ptr<SharedVolume> volume;
  std::unique_ptr<FuseMount> mount;

 private:
  TempDirectory directory_;
  std::string path_;
};

/// A file descriptor for a test; check it with valid().
class OpenFile {
 public:
  OpenFile(const std::string& path, int flags, mode_t mode = 0644)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Makes the file, or replaces its content; false with errno set.
inline bool write_file(const std::string& path, const std::string& text) {
  const OpenFile file(path, O_WRONLY | O_CREAT | O_TRUNC);
  return file.valid() &&
         ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// The whole content; "<errno N>" if it cannot be read.
inline std::string read_file(const std::string& path) {
  const OpenFile file(path, O_RDONLY);
  std::string out;
  char buffer[65536];
  ssize_t got = file.valid() ? 1 : -1;
  while (got > 0 && (got = ::read(file.get(), buffer, sizeof buffer)) > 0)
    out.append(buffer, static_cast<std::size_t>(got));
  return got < 0 ? "<errno " + std::to_string(errno) + ">" : out;
}

}  // namespace varve::test
