// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/repository.h"
#include "store/base/error.h"
#include "store/base/mutex.h"
#include "tests/support/memory_store.h"
#include "tests/support/memory_volume.h"

namespace varve::test {

/// The names of a repository without its contents, for tests of what speaks to one: volumes,
/// snapshots, trash and attachments follow the contract, files are not there. Diffs are what the
/// test puts in. Safe to share between threads.
class FakeRepository : public Repository {
 public:
  VolumeInfo create_volume(const CreateVolume& request) override {
    const MutexLock lock(mutex_);
    return add(request, request.quota_bytes, "");
  }

  VolumeInfo clone_volume(const CreateVolume& request, const std::string& source) override {
    const MutexLock lock(mutex_);
    const SnapshotRow* from = find_snapshot(source);
    if (from == nullptr) {
      VolumeInfo& volume = find_volume(source);
      from = &cut(volume, "", {});
    }
    const std::string full = name_of(from->volume) + "@" + from->name;
    return add(request, request.quota_bytes != 0 ? request.quota_bytes : from->quota_bytes, full);
  }

  std::vector<VolumeInfo> volumes() override {
    const MutexLock lock(mutex_);
    std::vector<VolumeInfo> list;
    for (const auto& [name, info] : volumes_) list.push_back(with_counts(info));
    return list;
  }

  std::vector<VolumeInfo> trash() override {
    const MutexLock lock(mutex_);
    return trash_;
  }

  VolumeInfo volume(const std::string& name) override {
    const MutexLock lock(mutex_);
    return with_counts(find_volume(name));
  }

  using Repository::remove_volume;
  void remove_volume(const std::string& name, WithSnapshots snapshots) override {
    const MutexLock lock(mutex_);
    const VolumeInfo info = with_counts(find_volume(name));
    if (info.attached) throw UserError(EBUSY, "Volume(" + name + ") is in use");
    if (info.row.protect) throw UserError(EBUSY, "Volume(" + name + ") is protected");
    if (info.snapshots != 0 && snapshots == WithSnapshots::kRefuse)
      throw UserError(EBUSY, "Volume(" + info.row.name + ") has (" +
                                 std::to_string(info.snapshots) + ") snapshots");
    trash_.push_back(info);
    trash_.back().row.trashed_ns = ++now_ns_;
    volumes_.erase(info.row.name);
  }

  VolumeInfo restore_volume(const std::string& name) override {
    const MutexLock lock(mutex_);
    for (auto it = trash_.rbegin(); it != trash_.rend(); ++it) {
      if (it->row.name != name) continue;
      refuse_duplicate(name);
      VolumeInfo info = *it;
      info.row.trashed_ns = 0;
      trash_.erase(std::next(it).base());
      return volumes_[name] = info;
    }
    throw UserError(ENOENT, "There is no removed volume " + name);
  }

  std::size_t purge_trash(std::int64_t trashed_before_ns) override {
    const MutexLock lock(mutex_);
    return std::erase_if(
        trash_, [&](const VolumeInfo& info) { return info.row.trashed_ns < trashed_before_ns; });
  }

  void set_quota(const std::string& name, std::uint64_t quota_bytes) override {
    const MutexLock lock(mutex_);
    find_volume(name).quota_bytes = quota_bytes;
  }
  void set_labels(const std::string& name,
                  const std::map<std::string, std::string>& labels) override {
    const MutexLock lock(mutex_);
    find_volume(name).row.labels = labels;
  }
  void set_protect(const std::string& name, bool protect) override {
    const MutexLock lock(mutex_);
    find_volume(name).row.protect = protect;
  }

  SnapshotRow create_snapshot(const std::string& volume, const std::string& name,
                              const std::map<std::string, std::string>& labels) override {
    const MutexLock lock(mutex_);
    return cut(find_volume(volume), name, labels);
  }

  std::vector<SnapshotRow> snapshots(const std::string& volume) override {
    const MutexLock lock(mutex_);
    std::vector<SnapshotRow> list;
    const VolumeInfo* only = volume.empty() ? nullptr : &find_volume(volume);
    for (const SnapshotRow& row : snapshots_)
      if (only == nullptr || row.volume == only->row.id) list.push_back(row);
    return list;
  }

  SnapshotRow snapshot(const std::string& reference) override {
    const MutexLock lock(mutex_);
    return require_snapshot(reference);
  }

  void remove_snapshot(const std::string& reference) override {
    const MutexLock lock(mutex_);
    const SnapshotRow row = require_snapshot(reference);
    std::erase_if(snapshots_, [&](const SnapshotRow& other) { return other.node == row.node; });
  }

  SnapshotRow rollback(const std::string& volume, const std::string& snapshot,
                       const Invalidate& invalidate) override {
    const MutexLock lock(mutex_);
    require_snapshot(volume + "@" + snapshot);
    const SnapshotRow before = cut(find_volume(volume), "before-rollback-" + snapshot, {});
    invalidate(nullptr);
    return before;
  }

  std::vector<PathChange> diff(const std::string&, const std::string&) override {
    const MutexLock lock(mutex_);
    return changes_;
  }

  std::shared_ptr<Volume> attach(const std::string& volume) override {
    const MutexLock lock(mutex_);
    const std::string name = find_volume(volume).row.name;
    if (with_counts(volumes_[name]).attached)
      throw UserError(EBUSY, "Volume(" + name + ") is in use");
    auto attached = std::make_shared<MemoryVolume>([] { return Time{}; });
    attached_[name] = attached;
    return attached;
  }

  std::shared_ptr<Volume> resume(const std::string& volume) override { return attach(volume); }
  void end_resume() override {}

  std::shared_ptr<Volume> attach_snapshot(const std::string& reference) override {
    const MutexLock lock(mutex_);
    require_snapshot(reference);
    return std::make_shared<ReadOnlyVolume>([] { return Time{}; });
  }
  std::shared_ptr<Volume> with_snapshots(std::shared_ptr<Volume> attached,
                                         const std::string&) override {
    return attached;
  }

  void sync() override {
    const MutexLock lock(mutex_);
    ++syncs_;
  }
  void commit() override {}
  bool step() override { return false; }
  std::uint64_t dirty_bytes() const override { return 0; }
  void start_scrub(std::uint64_t rate_bytes) override {
    const MutexLock lock(mutex_);
    scrub_.rate_bytes = rate_bytes;
    scrub_.ever_run = scrub_.running = true;
  }
  void stop_scrub() override {
    const MutexLock lock(mutex_);
    scrub_.running = false;
  }
  ScrubProgress scrub_progress() override {
    const MutexLock lock(mutex_);
    return scrub_;
  }
  /// What scrub_progress() says.
  void set_scrub(const ScrubProgress& progress) {
    const MutexLock lock(mutex_);
    scrub_ = progress;
  }
  std::vector<DamagedFile> damaged_files() override {
    const MutexLock lock(mutex_);
    return damaged_files_;
  }
  void set_damaged_files(const std::vector<DamagedFile>& files) {
    const MutexLock lock(mutex_);
    damaged_files_ = files;
  }
  FsckReport fsck() override { return {}; }
  RemovalSpace removal_space(const std::vector<std::string>& references) override {
    const MutexLock lock(mutex_);
    for (const std::string& reference : references) require_snapshot(reference);
    return {4096 * references.size(), references.size(), 0};
  }

  StoreFigures figures() const override { return store_.figures(); }
  std::size_t pending_deletions() const override { return 0; }
  Store& store() override { return store_; }
  /// There is none.
  Catalog& catalog() override { VARVE_CHECK(!"a fake repository has no catalog"); }
  void close() override {}

  // For the test.
  void set_changes(std::vector<PathChange> changes) {
    const MutexLock lock(mutex_);
    changes_ = std::move(changes);
  }
  void set_used(const std::string& name, std::uint64_t bytes) {
    const MutexLock lock(mutex_);
    find_volume(name).logical_bytes = bytes;
  }
  int syncs() const {
    const MutexLock lock(mutex_);
    return syncs_;
  }

 private:
  class ReadOnlyVolume : public MemoryVolume {
   public:
    using MemoryVolume::MemoryVolume;
    bool read_only() const override { return true; }
  };

  static void check_name(const std::string& name) {
    static constexpr const char* kAllowed =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    if (name.find_first_not_of(kAllowed) != std::string::npos)
      throw UserError(EINVAL, "The name " + name + " is not valid");
  }

  void refuse_duplicate(const std::string& name) REQUIRES(mutex_) {
    if (volumes_.count(name) != 0)
      throw UserError(EEXIST, "A volume named " + name + " already exists");
  }

  VolumeInfo add(const CreateVolume& request, std::uint64_t quota, const std::string& source)
      REQUIRES(mutex_) {
    VolumeInfo info;
    info.row.name =
        request.name.empty() ? std::string(63, 'a') + std::to_string(next_id_ % 10) : request.name;
    check_name(info.row.name);
    refuse_duplicate(info.row.name);
    info.row.id = VolumeId{next_id_++};
    info.row.labels = request.labels;
    info.row.source = source;
    info.row.created_ns = ++now_ns_;
    info.quota_bytes = quota;
    info.inodes = 1;
    return volumes_[info.row.name] = info;
  }

  VolumeInfo& find_volume(const std::string& name) REQUIRES(mutex_) {
    const auto found = volumes_.find(name);
    if (found == volumes_.end()) throw UserError(ENOENT, "There is no volume " + name);
    return found->second;
  }

  std::string name_of(VolumeId id) REQUIRES(mutex_) {
    for (const auto& [name, info] : volumes_)
      if (info.row.id == id) return name;
    return {};
  }

  VolumeInfo with_counts(VolumeInfo info) REQUIRES(mutex_) {
    for (const SnapshotRow& row : snapshots_)
      if (row.volume == info.row.id) ++info.snapshots;
    const auto found = attached_.find(info.row.name);
    info.attached = found != attached_.end() && !found->second.expired();
    return info;
  }

  const SnapshotRow& cut(VolumeInfo& volume, std::string name,
                         const std::map<std::string, std::string>& labels) REQUIRES(mutex_) {
    if (name.empty()) name = "snapshot-" + std::to_string(next_id_);
    check_name(name);
    for (const SnapshotRow& row : snapshots_)
      if (row.volume == volume.row.id && row.name == name)
        throw UserError(EEXIST, "A snapshot named " + name +
                                    " already exists. Choose a different snapshot name");
    SnapshotRow row;
    row.node = NodeId{next_id_++};
    row.volume = volume.row.id;
    row.name = name;
    row.created_ns = ++now_ns_;
    row.quota_bytes = volume.quota_bytes;
    row.labels = labels;
    snapshots_.push_back(row);
    return snapshots_.back();
  }

  const SnapshotRow* find_snapshot(const std::string& reference) REQUIRES(mutex_) {
    const std::size_t at = reference.find('@');
    const std::string name = at == std::string::npos ? reference : reference.substr(at + 1);
    const SnapshotRow* found = nullptr;
    for (const SnapshotRow& row : snapshots_) {
      if (row.name != name) continue;
      if (at != std::string::npos && name_of(row.volume) != reference.substr(0, at)) continue;
      if (found != nullptr)
        throw UserError(EINVAL,
                        "Several volumes have a snapshot " + name + ". Write VOLUME@" + name);
      found = &row;
    }
    return found;
  }

  const SnapshotRow& require_snapshot(const std::string& reference) REQUIRES(mutex_) {
    const SnapshotRow* found = find_snapshot(reference);
    if (found == nullptr) throw UserError(ENOENT, "There is no snapshot " + reference);
    return *found;
  }

  mutable Mutex mutex_;
  MemoryStore store_;
  std::uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::int64_t now_ns_ GUARDED_BY(mutex_) = 1'000'000'000;
  int syncs_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, VolumeInfo> volumes_ GUARDED_BY(mutex_);
  std::vector<VolumeInfo> trash_ GUARDED_BY(mutex_);
  std::vector<SnapshotRow> snapshots_ GUARDED_BY(mutex_);
  std::map<std::string, std::weak_ptr<Volume>> attached_ GUARDED_BY(mutex_);
  std::vector<PathChange> changes_ GUARDED_BY(mutex_);
  ScrubProgress scrub_ GUARDED_BY(mutex_);
  std::vector<DamagedFile> damaged_files_ GUARDED_BY(mutex_);
};

}  // namespace varve::test
