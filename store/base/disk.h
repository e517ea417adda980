// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "store/base/bytes.h"

namespace varve {

/// One open file of the store. Offsets and sizes are bytes. Safe to share between threads as
/// pread/pwrite are. Every failure throws StoreError with the errno of the system call and a text
/// that names the file.
class File {
 public:
  virtual ~File() = default;

  /// Reads up to `out.size()` bytes; fewer only at the end of the file. Returns the count.
  virtual std::size_t read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;
  /// Writes all of `bytes`; it reaches the page cache, so it survives the death of this process
  /// and not a power cut.
  virtual void write_at(std::uint64_t offset, ByteView bytes) = 0;
  /// fdatasync. A failure must never be retried: what was not written may be lost for good.
  virtual void sync() = 0;
  /// Asks the host, before the first write, to overwrite the file's bytes where they are, so that
  /// overwriting them needs no space on btrfs either. A host that refuses is no error.
  virtual void keep_in_place() {}
  virtual std::uint64_t size() const = 0;
  virtual void truncate(std::uint64_t size) = 0;
  /// Gives the range's blocks back to the host file system; it reads as zeros afterwards. Throws
  /// StoreError(EOPNOTSUPP) where that would free nothing: no holes, or btrfs.
  virtual void punch_hole(std::uint64_t offset, std::uint64_t size) = 0;
  /// Bytes that the host file system has allocated for the file.
  virtual std::uint64_t allocated_bytes() const = 0;
  virtual const std::string& path() const = 0;
};

/// The only way from the store to a disk, so that a test can fail, drop or reorder any step.
/// Safe to share between threads.
class Disk {
 public:
  enum class Mode { kReadOnly, kReadWrite, kCreateNew };

  virtual ~Disk() = default;

  /// Opens a regular file without following a symbolic link at its last component. kCreateNew
  /// fails with EEXIST if it exists. Absence is StoreError(ENOENT).
  virtual std::unique_ptr<File> open(const std::string& path, Mode mode) = 0;
  virtual bool exists(const std::string& path) const = 0;
  /// Absent is no error.
  virtual void remove(const std::string& path) = 0;
  virtual void rename(const std::string& from, const std::string& to) = 0;
  /// Creates one directory, mode 0700; an existing one is no error.
  virtual void make_directory(const std::string& path) = 0;
  /// Names of the entries, sorted, without "." and "..".
  virtual std::vector<std::string> list(const std::string& path) const = 0;
  /// fsync of the directory: its names survive a power cut.
  virtual void sync_directory(const std::string& path) = 0;
  /// Bytes of the host file system: free to this process, and in all.
  struct Space {
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
  };
  virtual Space space(const std::string& path) const = 0;
  /// Makes space() count what was removed as free: btrfs does so only when it commits, by itself
  /// each 30 seconds. Waits for such a commit there, and does nothing elsewhere.
  virtual void settle_space(const std::string& /*path*/) {}
  /// Takes the exclusive lock on `path` (created if absent) until the result is destroyed.
  /// Returns null if another process or holder has it.
  virtual std::unique_ptr<File> try_lock(const std::string& path) = 0;

  /// Replaces `path` by `bytes` so that after a power cut either the old or the new content is
  /// there: temporary file, sync, rename, sync of the directory.
  void replace_file(const std::string& path, ByteView bytes);
  /// The whole content of `path`; throws StoreError(EFBIG) above `limit_bytes`.
  Bytes read_file(const std::string& path, std::size_t limit_bytes);

  /// The host's disk.
  static Disk& host();
};

}  // namespace varve
