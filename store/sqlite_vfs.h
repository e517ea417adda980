// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <map>
#include <memory>
#include <string>

#include "store/base/disk.h"
#include "store/base/mutex.h"

namespace varve::sqlite {

/// Lets SQLite reach its files through a Disk, so that a test that fails, drops or reorders the
/// steps of a Disk does so below SQLite too. It assumes of the disk what SQLite's own VFS for Unix
/// assumes: sectors of 4,096 bytes, and that a write damages nothing beside it.
///
/// Locks and the shared memory of a write-ahead log are kept in this process, which is enough for a
/// store: it has one owner. Registered with SQLite while it lives; every connection keeps it alive.
/// Safe to share between threads.
class DiskVfs {
 public:
  /// The VFS of `disk`, the same for all who ask while one of them holds it. Null for the host's
  /// disk: SQLite's own VFS serves that, with locks that other processes see.
  static std::shared_ptr<DiskVfs> of(Disk& disk);

  explicit DiskVfs(Disk& disk);
  ~DiskVfs();
  DiskVfs(const DiskVfs&) = delete;
  DiskVfs& operator=(const DiskVfs&) = delete;

  /// What sqlite3_open_v2 takes.
  const char* name() const { return name_.c_str(); }

  /// What the connections to one file share.
  struct Shared;
  Disk& disk() { return disk_; }
  std::shared_ptr<Shared> shared_of(const std::string& path);

 private:
  Disk& disk_;
  std::string name_;
  sqlite3_vfs vfs_{};
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<Shared>> shared_ GUARDED_BY(mutex_);
};

}  // namespace varve::sqlite
