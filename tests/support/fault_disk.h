// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/base/disk.h"
#include "store/base/error.h"
#include "store/base/mutex.h"

namespace varve::test {

/// The calls of Disk and File that a test can count and fail.
enum class DiskCall : std::uint8_t {
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kPunch,
  kOpen,
  kRemove,
  kRename,
  kMakeDirectory,
  kList,
  kSyncDirectory,
  kSpace,
  kSettleSpace,
  kLock,
  kCount,
};

/// What FaultDisk and its files share; outlives both.
///
/// A rule fails the nth call (from 1, counted from the moment the rule was set) of one kind on a
/// path that contains `path_part`; a sticky rule fails that call and all later ones. A failing call
/// does nothing to the disk. Safe to share between threads.
class FaultPlan {
 public:
  /// Fails call number `nth` of `call` with errno `code`.
  void fail(DiskCall call, std::uint64_t nth, int code, bool sticky = false,
            std::string path_part = "") {
    const MutexLock lock(mutex_);
    rules_.push_back(Rule{call, nth, code, sticky, std::move(path_part)});
  }
  /// Forgets all rules; counts stay.
  void clear() {
    const MutexLock lock(mutex_);
    rules_.clear();
    free_bytes_ = kNoLimit;
  }
  /// Makes Disk::space() say that this many bytes are free.
  void set_free_bytes(std::uint64_t bytes) {
    const MutexLock lock(mutex_);
    free_bytes_ = bytes;
  }
  /// Calls of one kind so far, failed ones included.
  std::uint64_t count(DiskCall call) const {
    const MutexLock lock(mutex_);
    return counts_[static_cast<std::size_t>(call)];
  }
  /// Calls that a rule failed so far.
  std::uint64_t failures() const {
    const MutexLock lock(mutex_);
    return failures_;
  }
  /// Called before each call goes to the disk, without a lock held; may throw to fail it.
  void set_hook(std::function<void(DiskCall, const std::string& path)> hook) {
    const MutexLock lock(mutex_);
    hook_ = nullptr;
    if (hook)
      hook_ = std::make_shared<std::function<void(DiskCall, const std::string&)>>(std::move(hook));
  }

  void enter(DiskCall call, const std::string& path) {
    std::shared_ptr<std::function<void(DiskCall, const std::string&)>> hook;
    {
      const MutexLock lock(mutex_);
      ++counts_[static_cast<std::size_t>(call)];
      for (Rule& rule : rules_) {
        if (rule.call != call || path.find(rule.path_part) == std::string::npos) continue;
        ++rule.seen;
        if (rule.seen == rule.nth || (rule.sticky && rule.seen > rule.nth)) {
          ++failures_;
          throw StoreError(rule.code, path + ": injected fault: " + errno_text(rule.code));
        }
      }
      hook = hook_;
    }
    if (hook && *hook) (*hook)(call, path);
  }
  Disk::Space limit(Disk::Space space) const {
    const MutexLock lock(mutex_);
    if (free_bytes_ != kNoLimit) space.free_bytes = free_bytes_;
    return space;
  }

 private:
  static constexpr std::uint64_t kNoLimit = ~0ull;
  struct Rule {
    DiskCall call;
    std::uint64_t nth;
    int code;
    bool sticky;
    std::string path_part;
    std::uint64_t seen = 0;
  };
  mutable Mutex mutex_;
  std::vector<Rule> rules_ GUARDED_BY(mutex_);
  std::array<std::uint64_t, static_cast<std::size_t>(DiskCall::kCount)> counts_ GUARDED_BY(
      mutex_){};
  std::uint64_t failures_ GUARDED_BY(mutex_) = 0;
  std::uint64_t free_bytes_ GUARDED_BY(mutex_) = kNoLimit;
  std::shared_ptr<std::function<void(DiskCall, const std::string&)>> hook_ GUARDED_BY(mutex_);
};

/// A file of a FaultDisk.
class FaultFile final : public File {
 public:
  FaultFile(std::unique_ptr<File> inner, std::shared_ptr<FaultPlan> plan)
      : inner_(std::move(inner)), plan_(std::move(plan)) {}

  std::size_t read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    plan_->enter(DiskCall::kRead, path());
    return inner_->read_at(offset, out);
  }
  void write_at(std::uint64_t offset, ByteView bytes) override {
    plan_->enter(DiskCall::kWrite, path());
    inner_->write_at(offset, bytes);
  }
  void keep_in_place() override { inner_->keep_in_place(); }
  void sync() override {
    plan_->enter(DiskCall::kSync, path());
    inner_->sync();
  }
  std::uint64_t size() const override { return inner_->size(); }
  void truncate(std::uint64_t size) override {
    plan_->enter(DiskCall::kTruncate, path());
    inner_->truncate(size);
  }
  void punch_hole(std::uint64_t offset, std::uint64_t size) override {
    plan_->enter(DiskCall::kPunch, path());
    inner_->punch_hole(offset, size);
  }
  std::uint64_t allocated_bytes() const override { return inner_->allocated_bytes(); }
  const std::string& path() const override { return inner_->path(); }

 private:
  std::unique_ptr<File> inner_;
  std::shared_ptr<FaultPlan> plan_;
};

/// A Disk that passes every call on to another one, counts it, and fails those that its plan names.
/// Safe to share between threads.
class FaultDisk final : public Disk {
 public:
  explicit FaultDisk(Disk& inner = Disk::host()) : inner_(inner) {}

  FaultPlan& plan() { return *plan_; }

  std::unique_ptr<File> open(const std::string& path, Mode mode) override {
    plan_->enter(DiskCall::kOpen, path);
    return std::make_unique<FaultFile>(inner_.open(path, mode), plan_);
  }
  bool exists(const std::string& path) const override { return inner_.exists(path); }
  void remove(const std::string& path) override {
    plan_->enter(DiskCall::kRemove, path);
    inner_.remove(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    plan_->enter(DiskCall::kRename, from);
    inner_.rename(from, to);
  }
  void make_directory(const std::string& path) override {
    plan_->enter(DiskCall::kMakeDirectory, path);
    inner_.make_directory(path);
  }
  std::vector<std::string> list(const std::string& path) const override {
    plan_->enter(DiskCall::kList, path);
    return inner_.list(path);
  }
  void sync_directory(const std::string& path) override {
    plan_->enter(DiskCall::kSyncDirectory, path);
    inner_.sync_directory(path);
  }
  Space space(const std::string& path) const override {
    plan_->enter(DiskCall::kSpace, path);
    return plan_->limit(inner_.space(path));
  }
  void settle_space(const std::string& path) override {
    plan_->enter(DiskCall::kSettleSpace, path);
    inner_.settle_space(path);
  }
  std::unique_ptr<File> try_lock(const std::string& path) override {
    plan_->enter(DiskCall::kLock, path);
    return inner_.try_lock(path);
  }

 private:
  Disk& inner_;
  std::shared_ptr<FaultPlan> plan_ = std::make_shared<FaultPlan>();
};

}  // namespace varve::test
