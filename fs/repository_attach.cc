// SPDX-License-Identifier: Apache-2.0
// Volumes in use: one writer each, and any number of read-only views of snapshots.
#include <cerrno>
#include <utility>

#include "fs/attributes.h"
#include "fs/repository_impl.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// Steps of freeing unlinked inodes that a detach waits for; the rest is freed after the next
/// attach.
constexpr int kDetachOrphanSteps = 1024;

}  // namespace

AttachedVolumeSetup RepositoryImpl::setup_of(const std::shared_ptr<Head>& head) {
  AttachedVolumeSetup setup;
  setup.head = head;
  setup.clock = options_.clock;
  setup.admit = [this, volume = head->volume()](std::uint64_t bytes) {
    committer_.admit(volume, bytes);
  };
  return setup;
}

std::shared_ptr<AttachedVolume> RepositoryImpl::attached(VolumeId volume) const {
  const MutexLock lock(mutex_);
  const auto at = attachments_.find(volume);
  return at == attachments_.end() ? nullptr : at->second.volume;
}

std::shared_ptr<Volume> RepositoryImpl::attach(const std::string& name) {
  return attach(name, false);
}

std::shared_ptr<Volume> RepositoryImpl::resume(const std::string& name) {
  return attach(name, true);
}

void RepositoryImpl::end_resume() {
  const MutexLock admin(admin_mutex_);
  std::vector<VolumeId> unused;
  {
    const MutexLock lock(mutex_);
    for (const auto& [volume, attachment] : attachments_)
      if (!attachment.volume) unused.push_back(volume);
  }
  for (const VolumeId volume : unused) {
    if (const auto head = committer_.find(volume)) head->requests().end_resume();
  }
  committer_.request();
}

std::shared_ptr<Volume> RepositoryImpl::attach(const std::string& name, bool resumed) {
  const MutexLock admin(admin_mutex_);
  const VolumeRow row = find_volume(name);
  if (attached(row.id)) {
    throw UserError(EBUSY, "Volume " + row.name + " is in use. Unmount it first");
  }
  std::shared_ptr<Head> head = committer_.find(row.id);  // left by a detach that could not commit
  if (!head) {
    head = std::make_shared<Head>(*store_, cache_, row.id, manifest_of(row).value().base, false);
    committer_.add(head);
  }
  AttachedVolumeSetup setup = setup_of(head);
  setup.resumed = resumed;
  auto volume = std::make_shared<AttachedVolume>(std::move(setup));
  {
    const MutexLock lock(mutex_);
    attachments_[row.id] = {head, volume};
  }
  request_cleaning();
  return std::shared_ptr<Volume>(volume.get(),
                                 [alive = std::weak_ptr(alive_), id = row.id](Volume*) {
                                   if (const auto self = alive.lock()) (*self)->detach(id);
                                 });
}

/// The last reference is gone. What cannot be committed now stays with the head, which the next
/// attach takes over.
void RepositoryImpl::detach(VolumeId volume) {
  const MutexLock admin(admin_mutex_);
  const std::shared_ptr<AttachedVolume> leaving = attached(volume);
  VARVE_CHECK(leaving != nullptr);
  try {
    leaving->drop_lookups();
    for (int i = 0; i < kDetachOrphanSteps && leaving->free_orphans_step(); ++i) {
    }
    committer_.commit(volume);
  } catch (const Error& error) {
    log_warn("repository", std::string("a volume was left with changes that are only in the "
                                       "journal: ") +
                               error.what());
  }
  {
    const MutexLock lock(mutex_);
    attachments_[volume].volume.reset();
  }
  forget_if_clean(volume);
}

bool RepositoryImpl::forget_if_clean(VolumeId volume) {
  if (!committer_.remove_if_clean(volume)) return false;
  const MutexLock lock(mutex_);
  attachments_.erase(volume);
  return true;
}

std::shared_ptr<Volume> RepositoryImpl::view_of(const SnapshotRow& row) {
  std::optional<Manifest> manifest = manifest_of(row);
  if (!manifest) return nullptr;
  auto head = std::make_shared<Head>(*store_, cache_, row.volume, manifest->base, true);
  {
    const MutexLock lock(mutex_);
    std::erase_if(snapshot_views_, [](const SnapshotView& view) { return view.head.expired(); });
    snapshot_views_.push_back({head, row});
  }
  return std::make_shared<AttachedVolume>(setup_of(head));
}

std::shared_ptr<Volume> RepositoryImpl::attach_snapshot(const std::string& reference) {
  std::shared_ptr<Volume> view = view_of(find_snapshot(reference));
  if (!view) throw UserError(ENOENT, "The snapshot " + reference + " does not exist any more");
  return view;
}

}  // namespace varve
