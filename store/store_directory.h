// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "store/base/disk.h"
#include "store/location.h"

namespace varve {

/// The names of everything in a store directory; made nowhere else.
class StorePaths {
 public:
  explicit StorePaths(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string format() const { return root_ + "/FORMAT"; }
  std::string lock() const { return root_ + "/lock"; }
  std::string superblock() const { return root_ + "/superblock"; }
  std::string index() const { return root_ + "/index.db"; }
  std::string note() const { return root_ + "/scrub"; }
  std::string segments() const { return root_ + "/segments"; }
  std::string journal() const { return root_ + "/journal"; }

  /// "0000000000000001.log" for 1.
  static std::string journal_file_name(std::uint64_t index);

 private:
  std::string root_;
};

/// The FORMAT file: says, in text, that a directory is a store and what must be understood to
/// touch it. docs/format.md gives the grammar.
struct StoreFormat {
  static constexpr std::uint32_t kVersion = 1;

  std::uint32_t version = kVersion;
  std::string needs = "varve 0.1";  ///< the earliest release that can open the store
  StoreId id{};
  std::vector<std::string> incompat;  ///< features without which the store must not be opened
  std::vector<std::string> compat;    ///< features that may be ignored

  std::string encode() const;
  /// Throws CorruptionError if `text` is not a FORMAT file, and UserError(ENOTSUP) if it is one of
  /// a version or feature that this program does not know. `path` is for the error text.
  static StoreFormat decode(const std::string& text, const std::string& path);
};

/// A store directory that this process owns: holds the exclusive lock until it is destroyed.
class StoreDirectory {
 public:
  /// True if `path` holds a FORMAT file.
  static bool exists(const Disk& disk, const std::string& path);

  /// Checks that a store can be made in `path` (absent, empty, or the remains of an interrupted
  /// create), makes the directory, takes the lock and clears the remains. The directory is a store
  /// only after write_format(). Throws UserError: EEXIST if it is a store, ENOTEMPTY if it holds
  /// other things, EBUSY if another process is at it, EPERM if others could change it
  /// (expect_own_directory).
  static StoreDirectory prepare(Disk& disk, const std::string& path);
  /// Takes the lock of an existing store and reads FORMAT. Throws UserError (ENOENT: not a store;
  /// EBUSY: in use; ENOTSUP: newer; EPERM: others could change it) or CorruptionError.
  static StoreDirectory open(Disk& disk, const std::string& path);

  const StorePaths& paths() const { return paths_; }
  const StoreFormat& format() const { return format_; }
  /// Makes the directory a store: written last, atomically.
  void write_format(const StoreFormat& format);

 private:
  StoreDirectory(Disk& disk, StorePaths paths, std::unique_ptr<File> lock)
      : disk_(&disk), paths_(std::move(paths)), lock_(std::move(lock)) {}

  Disk* disk_;
  StorePaths paths_;
  std::unique_ptr<File> lock_;
  StoreFormat format_;
};

/// Draws the name of a new store from the kernel's random source.
StoreId random_store_id();

}  // namespace varve
