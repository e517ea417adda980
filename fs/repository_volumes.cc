// SPDX-License-Identifier: Apache-2.0
// Volumes by name: creation, clones, trash, quota, labels.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "fs/attributes.h"
#include "fs/generation.h"
#include "fs/names.h"
#include "fs/repository_impl.h"
#include "fs/transaction.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace

Time RepositoryImpl::now() const { return options_.clock ? options_.clock() : system_time(); }

std::int64_t RepositoryImpl::now_ns() const {
  const Time time = now();
  return time.seconds * kNanosecondsPerSecond + time.nanoseconds;
}

// ---- looking -----------------------------------------------------------------------------------

VolumeRow RepositoryImpl::find_volume(const std::string& name) const {
  if (const std::optional<VolumeRow> row = catalog_->volume(name)) return *row;
  std::vector<VolumeRow> found;
  if (name.size() >= kMinPrefixBytes) {
    for (VolumeRow& row : catalog_->volumes(false)) {
      if (is_generated_name(row.name) && row.name.starts_with(name)) {
        found.push_back(std::move(row));
      }
    }
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1) {
    throw UserError(EINVAL, "The prefix " + name + " fits " + std::to_string(found.size()) +
                                " volumes. Give more of the name");
  }
  throw UserError(ENOENT, "No volume named " + name + ". List the volumes to see their names");
}

HeadInfoRecord RepositoryImpl::head_info(const VolumeRow& row) {
  if (const std::shared_ptr<Head> head = committer_.find(row.id)) {
    return head->run([&] {
      head->gate().assert_held();
      return Transaction(*head).head_info();
    });
  }
  const std::optional<Manifest> manifest = manifest_of(row);
  if (!manifest) return {};
  return head_info_of(cache_, manifest->base->tree.root());
}

std::string RepositoryImpl::root_digest(const VolumeRow& row) {
  const MutexLock lock(rows_mutex_);
  if (!catalog_->volume(row.id)) return {};
  const std::optional<Ptr> root = catalog_->node(row.head).root;
  return root ? root->digest.hex() : std::string{};
}

VolumeInfo RepositoryImpl::info_of(const VolumeRow& row) {
  const HeadInfoRecord counters = head_info(row);
  VolumeInfo out;
  out.row = row;
  out.quota_bytes = counters.quota_bytes;
  out.logical_bytes = counters.logical_bytes;
  out.inodes = counters.inodes;
  out.snapshots = catalog_->snapshots(row.id).size() + committer_.pending_cuts(row.id).size();
  out.attached = attached(row.id) != nullptr;
  out.root_digest = root_digest(row);
  return out;
}

std::vector<VolumeInfo> RepositoryImpl::infos_of(const std::vector<VolumeRow>& rows) {
  std::vector<VolumeInfo> out;
  out.reserve(rows.size());
  for (const VolumeRow& row : rows) out.push_back(info_of(row));
  return out;
}

std::vector<VolumeInfo> RepositoryImpl::volumes() { return infos_of(catalog_->volumes(false)); }

std::vector<VolumeInfo> RepositoryImpl::trash() { return infos_of(catalog_->volumes(true)); }

VolumeInfo RepositoryImpl::volume(const std::string& name) { return info_of(find_volume(name)); }

// ---- making ------------------------------------------------------------------------------------

VolumeInfo RepositoryImpl::create_volume(const CreateVolume& request) {
  const MutexLock admin(admin_mutex_);
  const std::string name = request.name.empty() ? generated_name() : request.name;
  committer_.change([&](Catalog::Change& change) {
    VolumeRow row = change.create_volume(name, now_ns());
    row.labels = request.labels;
    change.update_volume(row);
    stage_new_volume(change, row, request);
  });
  return info_of(find_volume(name));
}

/// The root directory and the counters. They are an operation like any other, but of a head that
/// nobody else sees; replay skips it if the volume's creation was not committed.
void RepositoryImpl::stage_new_volume(Catalog::Change& change, const VolumeRow& row,
                                      const CreateVolume& request) {
  auto base = pinned_base(*store_, cache_, std::nullopt);
  Head head(*store_, cache_, row.id, base, false);
  head.run([&] {
    head.gate().assert_held();
    Transaction transaction(head);
    make_root(transaction, request.root_mode, request.root_uid, request.root_gid, now());
    transaction.head_info().quota_bytes = request.quota_bytes;
    transaction.commit();
  });
  const Frozen frozen = head.freeze(false, {}).value();
  stage_generation(change, *catalog_, *store_, cache_,
                   {row.id, base, frozen.overlay, frozen.cut_lsn, std::nullopt}, 1);
}

VolumeInfo RepositoryImpl::clone_volume(const CreateVolume& request, const std::string& source) {
  const MutexLock admin(admin_mutex_);
  const std::string name = request.name.empty() ? generated_name() : request.name;
  const SnapshotRow from = clone_source(source);
  committer_.change([&](Catalog::Change& change) {
    VolumeRow row = change.clone_volume(name, from, now_ns());
    row.labels = request.labels;
    // The journal may hold operations of a creation under this id that was never committed.
    row.committed_lsn = store_->journal().end();
    change.update_volume(row);
    if (request.quota_bytes != 0) {
      edit_head_info(change, cache_, row.head,
                     [&](HeadInfoRecord& info) { info.quota_bytes = request.quota_bytes; });
    }
  });
  return info_of(find_volume(name));
}

// ---- trash -------------------------------------------------------------------------------------

void RepositoryImpl::refuse_in_use(const VolumeRow& row) {
  if (attached(row.id)) {
    throw UserError(EBUSY, "Volume " + row.name + " is mounted; unmount it first");
  }
  if (!committer_.find(row.id)) return;
  committer_.commit(row.id);  // left by a detach that could not commit
  VARVE_CHECK(forget_if_clean(row.id));
}

void RepositoryImpl::remove_volume(const std::string& name, WithSnapshots snapshots) {
  const MutexLock admin(admin_mutex_);
  const VolumeRow row = find_volume(name);
  if (row.protect) {
    throw UserError(EBUSY, "Volume " + row.name + " is protected. Remove the protection first");
  }
  refuse_in_use(row);
  const std::size_t count = catalog_->snapshots(row.id).size();
  if (count > 0 && snapshots == WithSnapshots::kRefuse) {
    throw UserError(EBUSY,
                    "Volume(" + row.name + ") has (" + std::to_string(count) + ") snapshots");
  }
  update_row(row.name,
             [&](VolumeRow& after) { after.trashed_ns = std::max<std::int64_t>(now_ns(), 1); });
}

VolumeInfo RepositoryImpl::restore_volume(const std::string& name) {
  const MutexLock admin(admin_mutex_);
  std::optional<VolumeRow> newest;
  for (const VolumeRow& row : catalog_->volumes(true)) {
    if (row.name == name && (!newest || row.trashed_ns >= newest->trashed_ns)) newest = row;
  }
  if (!newest) {
    throw UserError(ENOENT, "No volume named " + name +
                                " in the trash. List the trash to see "
                                "what can be restored");
  }
  newest->trashed_ns = 0;
  committer_.change([&](Catalog::Change& change) { change.update_volume(*newest); });
  return info_of(find_volume(name));
}

std::size_t RepositoryImpl::purge_trash(std::int64_t trashed_before_ns) {
  const MutexLock admin(admin_mutex_);
  std::size_t count = 0;
  for (const VolumeRow& row : catalog_->volumes(true)) {
    if (row.trashed_ns >= trashed_before_ns) continue;
    const MutexLock rows(rows_mutex_);
    // One change each: a deletion compares with its child's root before this change.
    for (const SnapshotRow& snapshot : catalog_->snapshots(row.id)) {
      committer_.change([&](Catalog::Change& change) { change.delete_snapshot(snapshot); });
    }
    committer_.change([&](Catalog::Change& change) { change.delete_volume(row.id); });
    ++count;
  }
  if (count > 0) request_cleaning();
  return count;
}

// ---- what the user says about a volume ---------------------------------------------------------

void RepositoryImpl::update_row(const std::string& name,
                                const std::function<void(VolumeRow&)>& edit) {
  const VolumeId id = find_volume(name).id;
  committer_.change([&](Catalog::Change& change) {
    VolumeRow row = change.volume(id).value();
    edit(row);
    change.update_volume(row);
  });
}

void RepositoryImpl::set_quota(const std::string& name, std::uint64_t quota_bytes) {
  const MutexLock admin(admin_mutex_);
  const VolumeRow row = find_volume(name);
  const std::shared_ptr<Head> head = committer_.find(row.id);
  if (!head) {
    committer_.change([&](Catalog::Change& change) {
      edit_head_info(change, cache_, row.head,
                     [&](HeadInfoRecord& info) { info.quota_bytes = quota_bytes; });
    });
    return;
  }
  head->run([&] {
    head->gate().assert_held();
    Transaction transaction(*head);
    transaction.head_info().quota_bytes = quota_bytes;
    transaction.commit();
  });
  store_->journal().flush();
}

void RepositoryImpl::set_labels(const std::string& name,
                                const std::map<std::string, std::string>& labels) {
  const MutexLock admin(admin_mutex_);
  update_row(name, [&](VolumeRow& row) { row.labels = labels; });
}

void RepositoryImpl::set_protect(const std::string& name, bool protect) {
  const MutexLock admin(admin_mutex_);
  update_row(name, [&](VolumeRow& row) { row.protect = protect; });
}

}  // namespace varve
