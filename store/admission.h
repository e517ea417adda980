// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "store/base/disk.h"
#include "store/base/mutex.h"
#include "store/journal.h"

namespace varve {

/// Decides, before an operation is accepted, whether its data will fit: what the host has free,
/// less a reserve, less what was admitted before and has not been committed yet. Safe to share
/// between threads.
class Admission {
 public:
  Admission(Disk& disk, std::string path, std::uint64_t reserve_bytes);

  /// Takes `bytes` of the free space, or throws StoreError(ENOSPC). `lsn` is the end of the
  /// journal: the operation's record will not begin before it.
  void take(std::uint64_t bytes, Lsn lsn);
  /// Says that what was admitted before `replay_from` has been written to segments.
  void committed(Lsn replay_from);
  /// The host's space; free is what take() would still give out.
  Disk::Space space() const;
  /// To be called after files were removed: if little is left, makes sure that it counts.
  void removed();

  /// Sleeps until wake() or a moment has passed; for callers that wait for the journal.
  void wait_a_moment();
  void wake();

 private:
  /// What was admitted until the journal had come to `lsn`.
  struct Admitted {
    Lsn lsn = 0;
    std::uint64_t total_bytes = 0;
  };

  void refresh() REQUIRES(mutex_);
  /// Lets go of the mutex meanwhile.
  void settle() REQUIRES(mutex_);
  bool fits(std::uint64_t bytes) const REQUIRES(mutex_);
  void remember(std::uint64_t bytes, Lsn lsn) REQUIRES(mutex_);

  Disk& disk_;
  const std::string path_;
  const std::uint64_t reserve_bytes_;
  mutable Mutex mutex_;
  CondVar woken_;
  std::uint64_t host_free_bytes_ GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point refreshed_ GUARDED_BY(mutex_){};
  std::uint64_t since_refresh_bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t admitted_bytes_ GUARDED_BY(mutex_) = 0;   ///< since open
  std::uint64_t committed_bytes_ GUARDED_BY(mutex_) = 0;  ///< of those
  /// Of those, what was committed when the host was last made to count what is written.
  std::uint64_t settled_bytes_ GUARDED_BY(mutex_) = 0;
  std::deque<Admitted> history_ GUARDED_BY(mutex_);
};

}  // namespace varve
