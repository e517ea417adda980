// SPDX-License-Identifier: Apache-2.0
// Snapshots by name: taking, finding, removing, rolling back, comparing.
#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "fs/generation.h"
#include "fs/names.h"
#include "fs/repository_impl.h"
#include "store/base/error.h"

namespace varve {
namespace {

/// Keeps a head's gate closed for a scope. Null: nothing to close.
class ClosedGate {
 public:
  explicit ClosedGate(Head* head) : head_(head) {
    if (head_ != nullptr) head_->close_gate();
  }
  ~ClosedGate() {
    if (head_ != nullptr) head_->open_gate();
  }
  ClosedGate(const ClosedGate&) = delete;
  ClosedGate& operator=(const ClosedGate&) = delete;

 private:
  Head* const head_;
};

[[noreturn]] void throw_unknown(const std::string& reference) {
  throw UserError(ENOENT,
                  "No snapshot named " + reference + ". List the snapshots to see their names");
}

SnapshotRow row_of(const SnapshotCut& cut) {
  SnapshotRow out;
  out.volume = cut.volume;
  out.name = cut.name;
  out.created_ns = cut.created_ns;
  out.labels = cut.labels;
  return out;
}

/// Such as 20260102T030405Z.
std::string utc_text(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

}  // namespace

// ---- taking ------------------------------------------------------------------------------------

SnapshotCut RepositoryImpl::cut_of(const VolumeRow& row, const std::string& name,
                                   const std::map<std::string, std::string>& labels) const {
  SnapshotCut cut;
  cut.volume = row.id;
  cut.name = name.empty() ? generated_name() : name;
  cut.created_ns = now_ns();
  cut.labels = labels;
  check_snapshot(cut.name, cut.labels);
  return cut;
}

SnapshotRow RepositoryImpl::create_snapshot(const std::string& volume, const std::string& name,
                                            const std::map<std::string, std::string>& labels) {
  const SnapshotCut cut = cut_of(find_volume(volume), name, labels);
  // A volume in use does not wait for other commands.
  if (std::optional<SnapshotRow> taken = committer_.snapshot(cut)) return *taken;
  const MutexLock admin(admin_mutex_);
  return take_snapshot(cut);
}

SnapshotRow RepositoryImpl::take_snapshot(const SnapshotCut& cut) {
  if (std::optional<SnapshotRow> taken = committer_.snapshot(cut)) return *taken;
  SnapshotRow row;
  committer_.change([&](Catalog::Change& change) {
    row = change.create_snapshot(cut.volume, cut.name, cut.created_ns);
    row.labels = cut.labels;
    change.update_snapshot(row);
  });
  return row;
}

// ---- finding -----------------------------------------------------------------------------------

std::vector<SnapshotRow> RepositoryImpl::snapshots(const std::string& volume) {
  std::optional<VolumeId> only;
  if (!volume.empty()) only = find_volume(volume).id;
  try {
    committer_.commit_cuts(only);
  } catch (const StoreError&) {
    // A store that is full or broken still says what there is.
  }
  std::vector<SnapshotRow> out = only ? catalog_->snapshots(*only) : untrashed_snapshots();
  std::vector<VolumeId> pending;
  if (only) {
    pending.push_back(*only);
  } else {
    for (const VolumeRow& row : catalog_->volumes(false)) pending.push_back(row.id);
  }
  for (const VolumeId id : pending) {
    for (const SnapshotCut& cut : committer_.pending_cuts(id)) {
      if (!catalog_->snapshot(id, cut.name)) out.push_back(row_of(cut));
    }
  }
  return out;
}

/// A removed volume's snapshots cannot be named until it is restored.
std::vector<SnapshotRow> RepositoryImpl::untrashed_snapshots() const {
  std::vector<SnapshotRow> rows = catalog_->snapshots();
  std::erase_if(rows, [&](const SnapshotRow& row) {
    const std::optional<VolumeRow> volume = catalog_->volume(row.volume);
    return !volume || volume->trashed_ns != 0;
  });
  return rows;
}

std::optional<SnapshotRow> RepositoryImpl::bare_snapshot(const std::string& name) {
  std::optional<SnapshotRow> out;
  for (const SnapshotRow& row : untrashed_snapshots()) {
    if (row.name != name) continue;
    if (out) {
      throw UserError(
          EINVAL, "Several volumes have a snapshot named " + name + ". Name it as VOLUME@" + name);
    }
    out = row;
  }
  return out;
}

SnapshotRow RepositoryImpl::find_snapshot(const std::string& reference) {
  const SnapshotReference wanted = SnapshotReference::parse(reference);
  if (wanted.volume.empty()) {
    committer_.commit_cuts();
    if (std::optional<SnapshotRow> row = bare_snapshot(wanted.name)) return *row;
    throw_unknown(reference);
  }
  const VolumeId volume = find_volume(wanted.volume).id;
  // What is committed can be read whether others can be committed or not.
  if (std::optional<SnapshotRow> row = catalog_->snapshot(volume, wanted.name)) return *row;
  committer_.commit_cuts(volume);
  if (std::optional<SnapshotRow> row = catalog_->snapshot(volume, wanted.name)) return *row;
  throw_unknown(reference);
}

SnapshotRow RepositoryImpl::snapshot(const std::string& reference) {
  return find_snapshot(reference);
}

/// A snapshot, or the present state of a volume as a new one.
SnapshotRow RepositoryImpl::clone_source(const std::string& source) {
  const SnapshotReference wanted = SnapshotReference::parse(source);
  if (!wanted.volume.empty()) return find_snapshot(source);
  committer_.commit_cuts();
  if (std::optional<SnapshotRow> row = bare_snapshot(source)) return *row;
  const VolumeRow volume = find_volume(source);
  const SnapshotCut cut = cut_of(volume, "", {});
  take_snapshot(cut);
  return find_snapshot(volume.name + "@" + cut.name);
}

std::shared_ptr<const Base> RepositoryImpl::pinned(const LineageNode& node) {
  return pinned_base(*store_, cache_, node.root);
}

std::optional<RepositoryImpl::Manifest> RepositoryImpl::manifest_of(const VolumeRow& row) {
  const MutexLock lock(rows_mutex_);
  if (!catalog_->volume(row.id)) return std::nullopt;
  // The pin comes first: a commit may replace the root right after it was looked up.
  std::shared_ptr<ReadPin> pin = store_->pin();
  const LineageNode node = catalog_->node(row.head);
  return Manifest{node,
                  std::make_shared<const Base>(Base{Tree(cache_, node.root), std::move(pin)})};
}

std::optional<RepositoryImpl::Manifest> RepositoryImpl::manifest_of(const SnapshotRow& row) {
  const MutexLock lock(rows_mutex_);
  const std::optional<SnapshotRow> present = catalog_->snapshot(row.volume, row.name);
  if (!present || present->node != row.node) return std::nullopt;
  const LineageNode node = catalog_->node(row.node);
  return Manifest{node, pinned(node)};
}

RepositoryImpl::Manifest RepositoryImpl::manifest_of(const std::string& reference) {
  std::optional<Manifest> out;
  if (SnapshotReference::parse(reference).volume.empty()) {
    const VolumeRow row = find_volume(reference);
    committer_.commit(row.id);
    out = manifest_of(row);
  } else {
    out = manifest_of(find_snapshot(reference));
  }
  if (!out) throw UserError(ENOENT, reference + " does not exist any more");
  return *std::move(out);
}

// ---- changing ----------------------------------------------------------------------------------

void RepositoryImpl::remove_snapshot(const std::string& reference) {
  const MutexLock admin(admin_mutex_);
  const SnapshotRow row = find_snapshot(reference);
  {
    const MutexLock rows(rows_mutex_);
    committer_.change([&](Catalog::Change& change) { change.delete_snapshot(row); });
  }
  stop_browsing(row.node);
  request_cleaning();
}

std::string RepositoryImpl::rollback_name(const VolumeRow& row) {
  const std::string name = "before-rollback-" + utc_text(now().seconds);
  std::string out = name;
  for (int i = 2; catalog_->snapshot(row.id, out); ++i) out = name + "-" + std::to_string(i);
  return out;
}

SnapshotRow RepositoryImpl::rollback(const std::string& volume, const std::string& snapshot,
                                     const Invalidate& invalidate) {
  const MutexLock admin(admin_mutex_);
  const VolumeRow row = find_volume(volume);
  const bool qualified = snapshot.find('@') != std::string::npos;
  const SnapshotRow to = find_snapshot(qualified ? snapshot : row.name + "@" + snapshot);
  // Before anything changes: the catalog would refuse it only after the present state was kept.
  if (catalog_->node(row.head).family != catalog_->node(to.node).family) {
    throw UserError(EINVAL, "The snapshot " + snapshot + " is not of volume " + row.name +
                                " or its relatives. Choose one of its own snapshots");
  }
  const std::shared_ptr<Head> head = committer_.find(row.id);
  SnapshotRow before;
  {
    const ClosedGate closed(head.get());
    before = take_snapshot(cut_of(row, rollback_name(row), {}));
    committer_.commit(row.id);
    const std::shared_ptr<const Base> present = manifest_of(row).value().base;
    roll_back(row, to);
    if (head) {
      const std::shared_ptr<const Base> shown = manifest_of(row).value().base;
      head->reset(shown);
      if (invalidate) invalidate(std::make_shared<const TreeChanges>(present, shown));
    }
  }
  if (const auto user = attached(row.id)) user->rolled_back();
  request_cleaning();
  return catalog_->snapshot(row.id, before.name).value_or(before);
}

/// The tree becomes the snapshot's. Inode numbers stay used and the volume's limits stay, whatever
/// they were at the snapshot.
void RepositoryImpl::roll_back(const VolumeRow& row, const SnapshotRow& to) {
  const MutexLock rows(rows_mutex_);
  committer_.change([&](Catalog::Change& change) {
    const HeadInfoRecord present = head_info_of(cache_, change.node(row.head).root);
    change.rollback(row.id, to);
    VolumeRow after = change.volume(row.id).value();
    after.committed_lsn = store_->journal().end();
    change.update_volume(after);
    edit_head_info(change, cache_, row.head, [&](HeadInfoRecord& info) {
      info.next_ino = std::max(info.next_ino, present.next_ino);
      info.quota_bytes = present.quota_bytes;
      info.quota_inodes = present.quota_inodes;
    });
  });
}

std::vector<PathChange> RepositoryImpl::diff(const std::string& before, const std::string& after) {
  const Manifest from = manifest_of(before);
  const Manifest to = manifest_of(after);
  if (from.node.family != to.node.family) {
    throw UserError(EINVAL, before + " and " + after +
                                " have no common origin. Compare a volume with its own snapshots, "
                                "its clones or its source");
  }
  return diff_paths(from.base->tree, to.base->tree);
}

}  // namespace varve
