// SPDX-License-Identifier: Apache-2.0
// Work that nobody waits for: deletions, unlinked inodes, reclaim.
#include <pthread.h>

#include <chrono>
#include <vector>

#include "fs/repository_impl.h"
#include "store/base/background.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// Birth events that one commit of a deletion takes back at most.
constexpr std::size_t kReleasesPerStep = 4096;
/// Between two steps, so that commands and commits get their turn.
constexpr std::chrono::milliseconds kStepPause{5};
/// Between two looks when nothing was to be done.
constexpr std::chrono::milliseconds kIdlePause{5000};

}  // namespace

void RepositoryImpl::sync() { store_->journal().flush(); }

void RepositoryImpl::commit() { committer_.commit(); }

bool RepositoryImpl::step() {
  const bool committed = committer_.round();
  return clean_step() || committed;
}

/// Unlinked inodes of the volumes in use.
bool RepositoryImpl::free_orphans() {
  const MutexLock admin(admin_mutex_);
  std::vector<std::shared_ptr<AttachedVolume>> volumes;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, attachment] : attachments_) {
      if (attachment.volume) volumes.push_back(attachment.volume);
    }
  }
  bool worked = false;
  for (const auto& volume : volumes) worked = volume->free_orphans_step() || worked;
  return worked;
}

bool RepositoryImpl::clean_step() {
  bool worked = free_orphans();
  worked = committer_.delete_step(kReleasesPerStep) || worked;
  worked = scrubber_.repair_known() || worked;
  if (!worked) renew_pins();
  const Csn horizon = store_->reclaim_horizon();
  if (!worked && horizon != reclaimed_horizon_) {
    worked = store_->reclaim() > 0 || store_->reclaim_rest() == ReclaimRest::kMore;
    // What waits for room is looked at again after each pause.
    if (!worked && store_->reclaim_rest() == ReclaimRest::kNothing) reclaimed_horizon_ = horizon;
  }
  return worked;
}

/// What is mounted, for however long, must not hold back the space of what others overwrite. The
/// tree of a snapshot is alive as long as its row is there; one that was removed under its user
/// keeps the pin that it has.
void RepositoryImpl::renew_pins() {
  committer_.renew_pins();
  std::vector<SnapshotView> views;
  {
    const MutexLock lock(mutex_);
    views = snapshot_views_;
  }
  const MutexLock rows(rows_mutex_);
  for (const SnapshotView& view : views) {
    const std::shared_ptr<Head> head = view.head.lock();
    const std::optional<SnapshotRow> present = catalog_->snapshot(view.row.volume, view.row.name);
    if (head && present && present->node == view.row.node) head->renew(store_->pin());
  }
}

void RepositoryImpl::request_cleaning() {
  const MutexLock lock(clean_mutex_);
  clean_wanted_ = true;
  clean_wake_.notify_all();
}

void RepositoryImpl::clean_in_background() {
  ::pthread_setname_np(::pthread_self(), "varve-clean");
  work_in_background();
  bool worked = false;
  for (;;) {
    {
      const MutexLock lock(clean_mutex_);
      const auto pause = worked ? kStepPause : kIdlePause;
      while (!stopping_ && !clean_wanted_) {
        if (!clean_wake_.wait_for(clean_mutex_, pause)) break;
      }
      if (stopping_) return;
      clean_wanted_ = false;
    }
    worked = false;
    if (store_->figures().read_only) continue;
    try {
      worked = clean_step();
    } catch (const Error& error) {
      log_warn("repository", std::string("background cleaning: ") + error.what());
    }
  }
}

void RepositoryImpl::stop_threads() {
  scrubber_.stop();
  committer_.stop();
  {
    const MutexLock lock(clean_mutex_);
    stopping_ = true;
    clean_wake_.notify_all();
  }
  if (cleaner_.joinable()) cleaner_.join();
}

}  // namespace varve
