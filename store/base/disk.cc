// SPDX-License-Identifier: Apache-2.0
#include "store/base/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/base/about_to_wait.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {

namespace {

/// Calls `call` again while a signal interrupts it.
template <class Call>
auto uninterrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

bool is_on_btrfs(int fd) {
  struct statfs host {};
  return ::fstatfs(fd, &host) == 0 && host.f_type == BTRFS_SUPER_MAGIC;
}

/// Owns a file descriptor from open to close.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

class HostFile final : public File {
 public:
  HostFile(Descriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  std::size_t read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t count = read_once(offset + done, out.subspan(done));
      if (count < 0) fail("read");
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  void write_at(std::uint64_t offset, ByteView bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t count = uninterrupted([&] {
        return ::pwrite(fd(), bytes.data() + done, bytes.size() - done,
                        static_cast<off_t>(offset + done));
      });
      if (count < 0) fail("write");
      // POSIX lets a full device answer a short count; a zero would loop for ever.
      if (count == 0) throw StoreError(ENOSPC, path_ + ": write: " + errno_text(ENOSPC));
      done += static_cast<std::size_t>(count);
    }
  }

  void sync() override {
    // Not repeated on EINTR: after any failure the kernel may have dropped the dirty pages.
    if (::fdatasync(fd()) != 0) fail("sync");
  }

  void keep_in_place() override {
    int flags = 0;
    if (!is_on_btrfs(fd()) || ::ioctl(fd(), FS_IOC_GETFLAGS, &flags) != 0) return;
    flags |= FS_NOCOW_FL;
    if (::ioctl(fd(), FS_IOC_SETFLAGS, &flags) != 0) {
      log_warn("disk", path_ + ": stays copy-on-write: " + errno_text(errno));
    }
  }

  std::uint64_t size() const override { return static_cast<std::uint64_t>(status().st_size); }

  void truncate(std::uint64_t size) override {
    if (uninterrupted([&] { return ::ftruncate(fd(), static_cast<off_t>(size)); }) != 0) {
      fail("truncate");
    }
  }

  void punch_hole(std::uint64_t offset, std::uint64_t size) override {
    if (size == 0) return;
    // A hole in an extent frees nothing there before all of the extent is gone.
    if (is_on_btrfs(fd())) {
      throw StoreError(EOPNOTSUPP, path_ + ": btrfs gives no part of an extent back");
    }
    const int result = uninterrupted([&] {
      return ::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(offset), static_cast<off_t>(size));
    });
    if (result != 0) fail("punch a hole");
  }

  std::uint64_t allocated_bytes() const override {
    return static_cast<std::uint64_t>(status().st_blocks) * 512;
  }

  const std::string& path() const override { return path_; }

 private:
  /// What is in the page cache comes without a word; else the thread says that it waits.
  ssize_t read_once(std::uint64_t offset, std::span<std::byte> out) const {
    iovec part{out.data(), out.size()};
    const auto at = static_cast<off_t>(offset);
    const ssize_t there = ::preadv2(fd(), &part, 1, at, RWF_NOWAIT);
    if (there > 0) return there;
    about_to_wait();
    return uninterrupted([&] { return ::pread(fd(), out.data(), out.size(), at); });
  }

  int fd() const { return descriptor_.get(); }
  [[noreturn]] void fail(const char* action) const { throw_errno(path_ + ": " + action); }
  struct stat status() const {
    struct stat out {};
    if (::fstat(fd(), &out) != 0) fail("stat");
    return out;
  }

  Descriptor descriptor_;
  std::string path_;
};

int open_flags(Disk::Mode mode) {
  constexpr int kAlways = O_CLOEXEC | O_NOFOLLOW;
  switch (mode) {
    case Disk::Mode::kReadOnly:
      return kAlways | O_RDONLY;
    case Disk::Mode::kReadWrite:
      return kAlways | O_RDWR;
    case Disk::Mode::kCreateNew:
      return kAlways | O_RDWR | O_CREAT | O_EXCL;
  }
  check_failed("a Disk::Mode", __FILE__, __LINE__);
}

Descriptor open_descriptor(const std::string& path, int flags) {
  Descriptor descriptor(uninterrupted([&] { return ::open(path.c_str(), flags, 0600); }));
  if (descriptor.get() < 0) throw_errno(path + ": open");
  return descriptor;
}

class HostDisk final : public Disk {
 public:
  std::unique_ptr<File> open(const std::string& path, Mode mode) override {
    // O_NONBLOCK: a FIFO in the file's place must be refused, not waited for.
    Descriptor descriptor = open_descriptor(path, open_flags(mode) | O_NONBLOCK);
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0) throw_errno(path + ": stat");
    if (!S_ISREG(status.st_mode)) throw StoreError(EINVAL, path + ": not a regular file");
    return std::make_unique<HostFile>(std::move(descriptor), path);
  }

  bool exists(const std::string& path) const override {
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    throw_errno(path + ": stat");
  }

  void remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno(path + ": remove");
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) throw_errno(from + ": rename to " + to);
  }

  void make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) == 0) return;
    if (errno != EEXIST) throw_errno(path + ": make directory");
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw_errno(path + ": stat");
    if (!S_ISDIR(status.st_mode)) throw StoreError(ENOTDIR, path + ": not a directory");
  }

  std::vector<std::string> list(const std::string& path) const override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
    if (!directory) throw_errno(path + ": list");
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    if (errno != 0) throw_errno(path + ": list");
    std::sort(names.begin(), names.end());
    return names;
  }

  void sync_directory(const std::string& path) override {
    const Descriptor descriptor = open_descriptor(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (::fsync(descriptor.get()) != 0) throw_errno(path + ": sync directory");
  }

  Space space(const std::string& path) const override {
    struct statvfs status {};
    if (uninterrupted([&] { return ::statvfs(path.c_str(), &status); }) != 0) {
      throw_errno(path + ": statvfs");
    }
    const std::uint64_t unit = status.f_frsize;
    return Space{status.f_bavail * unit, status.f_blocks * unit};
  }

  void settle_space(const std::string& path) override {
    const Descriptor descriptor = open_descriptor(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!is_on_btrfs(descriptor.get())) return;
    __u64 transaction = 0;
    if (::ioctl(descriptor.get(), BTRFS_IOC_START_SYNC, &transaction) != 0 ||
        ::ioctl(descriptor.get(), BTRFS_IOC_WAIT_SYNC, &transaction) != 0) {
      log_warn("disk", path + ": btrfs gives space back only later: " + errno_text(errno));
    }
  }

  std::unique_ptr<File> try_lock(const std::string& path) override {
    Descriptor descriptor =
        open_descriptor(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    // flock belongs to the open file, so a second holder in this process is refused as well.
    if (uninterrupted([&] { return ::flock(descriptor.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno == EWOULDBLOCK) return nullptr;
      throw_errno(path + ": lock");
    }
    return std::make_unique<HostFile>(std::move(descriptor), path);
  }
};

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

void Disk::replace_file(const std::string& path, ByteView bytes) {
  const std::string temporary = path + ".new";
  remove(temporary);  // what a crash left
  {
    const std::unique_ptr<File> file = open(temporary, Mode::kCreateNew);
    file->write_at(0, bytes);
    file->sync();
  }
  rename(temporary, path);
  sync_directory(parent_of(path));
}

Bytes Disk::read_file(const std::string& path, std::size_t limit_bytes) {
  const std::unique_ptr<File> file = open(path, Mode::kReadOnly);
  const std::uint64_t size = file->size();
  if (size > limit_bytes) {
    throw StoreError(EFBIG, path + ": larger than " + std::to_string(limit_bytes) + " bytes");
  }
  Bytes content(static_cast<std::size_t>(size));
  content.resize(file->read_at(0, content));
  return content;
}

Disk& Disk::host() {
  static HostDisk disk;
  return disk;
}

}  // namespace varve
