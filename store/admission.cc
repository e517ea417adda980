// SPDX-License-Identifier: Apache-2.0
#include "store/admission.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/base/error.h"

namespace varve {

namespace {

constexpr std::chrono::milliseconds kSpaceAge{100};
constexpr std::uint64_t kSpaceBytes = 16ull << 20;
/// Below this, beside the reserve, what is written and removed must count at once.
constexpr std::uint64_t kScarceBytes = 256ull << 20;
/// Less than this, committed meanwhile, is within the reserve.
constexpr std::uint64_t kUnsettledBytes = 32ull << 20;
/// One entry of the history covers this much.
constexpr std::uint64_t kHistoryBytes = 1 << 20;
constexpr std::chrono::milliseconds kMoment{200};

}  // namespace

Admission::Admission(Disk& disk, std::string path, std::uint64_t reserve_bytes)
    : disk_(disk), path_(std::move(path)), reserve_bytes_(reserve_bytes) {}

void Admission::take(std::uint64_t bytes, Lsn lsn) {
  const MutexLock lock(mutex_);
  const bool stale = since_refresh_bytes_ + bytes > kSpaceBytes ||
                     std::chrono::steady_clock::now() - refreshed_ > kSpaceAge;
  if (stale) refresh();
  if (!fits(bytes) && !stale) refresh();  // somebody may have freed some just now
  if (!fits(bytes)) throw StoreError(ENOSPC, path_ + ": the store is full");
  remember(bytes, lsn);
}

void Admission::committed(Lsn replay_from) {
  const MutexLock lock(mutex_);
  while (!history_.empty() && history_.front().lsn < replay_from) {
    committed_bytes_ = history_.front().total_bytes;
    history_.pop_front();
  }
  refreshed_ = {};  // the segments have grown: ask the host again
}

Disk::Space Admission::space() const {
  Disk::Space host = disk_.space(path_);
  const MutexLock lock(mutex_);
  const std::uint64_t kept = reserve_bytes_ + admitted_bytes_ - committed_bytes_;
  host.free_bytes = host.free_bytes > kept ? host.free_bytes - kept : 0;
  return host;
}

void Admission::removed() {
  const bool scarce = space().free_bytes < kScarceBytes;
  const MutexLock lock(mutex_);
  if (scarce) settle();
  refreshed_ = {};
}

void Admission::wait_a_moment() {
  const MutexLock lock(mutex_);
  woken_.wait_for(mutex_, kMoment);
}

void Admission::wake() { woken_.notify_all(); }

void Admission::settle() {
  settled_bytes_ = committed_bytes_;
  mutex_.unlock();
  try {
    disk_.settle_space(path_);
  } catch (...) {
    mutex_.lock();
    throw;
  }
  mutex_.lock();
}

void Admission::refresh() {
  host_free_bytes_ = disk_.space(path_).free_bytes;
  // What was committed since may not count yet.
  const std::uint64_t unsettled = committed_bytes_ - settled_bytes_;
  const std::uint64_t kept = reserve_bytes_ + admitted_bytes_ - committed_bytes_;
  if (unsettled >= kUnsettledBytes && host_free_bytes_ < kept + unsettled + kScarceBytes) {
    settle();
    host_free_bytes_ = disk_.space(path_).free_bytes;
  }
  refreshed_ = std::chrono::steady_clock::now();
  since_refresh_bytes_ = 0;
}

bool Admission::fits(std::uint64_t bytes) const {
  const std::uint64_t kept = reserve_bytes_ + admitted_bytes_ - committed_bytes_;
  return host_free_bytes_ >= kept && host_free_bytes_ - kept >= bytes;
}

void Admission::remember(std::uint64_t bytes, Lsn lsn) {
  admitted_bytes_ += bytes;
  since_refresh_bytes_ += bytes;
  // Merging into the last entry moves its bytes to a later position: counted for longer, never
  // for shorter than they are needed.
  const std::uint64_t before =
      history_.size() < 2 ? committed_bytes_ : history_[history_.size() - 2].total_bytes;
  if (!history_.empty() && admitted_bytes_ - before < kHistoryBytes) {
    history_.back() = {std::max(lsn, history_.back().lsn), admitted_bytes_};
  } else {
    history_.push_back({lsn, admitted_bytes_});
  }
}

}  // namespace varve
