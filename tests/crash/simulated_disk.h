// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/base/disk.h"
#include "store/base/mutex.h"
#include "tests/crash/disk_trace.h"

namespace varve::test {

/// What a SimulatedDisk and its files share: the present content (what the process sees, flushed
/// or not) and everything that was done to it. Safe to share between threads.
class DiskMedia {
 public:
  explicit DiskMedia(DiskImage start = {});

  /// Ends the life of the process that uses this media: what it does from here on goes to a copy
  /// that nobody sees. The result has content and trace, for the next life.
  std::shared_ptr<DiskMedia> survive();

  void promise(const Promise& promise);
  /// Said with each flush from here on.
  void set_phase(const std::string& phase);

  const DiskImage& start() const { return start_; }
  DiskImage now() const;
  /// Moves the trace out. To be called when nothing runs any more.
  std::vector<DiskStep> take_trace();
  std::size_t steps() const;
  /// True if a file of this name was ever made.
  bool has_made(const std::string& name) const;

  // For SimulatedDisk.
  void change(DiskStep step);
  void flush(DiskStep step);
  std::size_t read(InodeNumber inode, std::uint64_t offset, std::span<std::byte> out) const;
  std::uint64_t size(InodeNumber inode) const;
  InodeNumber open(const std::string& path, Disk::Mode mode);
  void make_directory(const std::string& path);
  void rename(const std::string& from, const std::string& to);
  void remove(const std::string& path);
  void lock(const std::string& path, bool& taken);
  void unlock(const std::string& path);

 private:
  void record(DiskStep step) REQUIRES(mutex_);
  InodeNumber create(const std::string& path) REQUIRES(mutex_);

  const DiskImage start_;
  mutable Mutex mutex_;
  DiskImage now_ GUARDED_BY(mutex_);
  std::vector<DiskStep> trace_ GUARDED_BY(mutex_);
  std::string phase_ GUARDED_BY(mutex_);
  InodeNumber last_inode_ GUARDED_BY(mutex_) = 0;
  std::vector<std::string> locked_ GUARDED_BY(mutex_);
};

/// A Disk in memory below "/disk" that remembers each step, so that PowerCut can make every image
/// that a power cut may leave. Safe to share between threads.
class SimulatedDisk final : public Disk {
 public:
  explicit SimulatedDisk(std::shared_ptr<DiskMedia> media) : media_(std::move(media)) {}

  DiskMedia& media() { return *media_; }

  std::unique_ptr<File> open(const std::string& path, Mode mode) override;
  bool exists(const std::string& path) const override;
  void remove(const std::string& path) override { media_->remove(path); }
  void rename(const std::string& from, const std::string& to) override { media_->rename(from, to); }
  void make_directory(const std::string& path) override { media_->make_directory(path); }
  std::vector<std::string> list(const std::string& path) const override;
  void sync_directory(const std::string& path) override;
  Space space(const std::string&) const override { return {1ull << 50, 1ull << 50}; }
  std::unique_ptr<File> try_lock(const std::string& path) override;

 private:
  std::shared_ptr<DiskMedia> media_;
};

}  // namespace varve::test
