// SPDX-License-Identifier: Apache-2.0
// What .snapshots shows of a volume in use.
#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "fs/repository_impl.h"
#include "fs/snapshots_view.h"
#include "store/base/about_to_wait.h"
#include "store/base/error.h"

namespace varve {

/// Opens each snapshot once and keeps it until it is removed or the volume is used no more. Safe to
/// share between threads.
class RepositoryImpl::BrowsedSnapshots : public SnapshotSource {
 public:
  BrowsedSnapshots(RepositoryImpl& repository, VolumeId volume)
      : repository_(repository), volume_(volume) {}

  std::vector<Entry> list() override {
    if (!repository_.committer_.pending_cuts(volume_).empty()) commit_cuts();
    std::vector<Entry> out;
    for (const SnapshotRow& row : repository_.catalog_->snapshots(volume_))
      out.push_back({row.node, row.name});
    std::sort(out.begin(), out.end(),
              [](const Entry& a, const Entry& b) { return a.node < b.node; });
    return out;
  }

  std::shared_ptr<Volume> open(NodeId snapshot) override {
    {
      const MutexLock lock(mutex_);
      const auto found = open_.find(snapshot);
      if (found != open_.end()) return found->second;
    }
    const std::optional<SnapshotRow> row = find(snapshot);
    std::shared_ptr<Volume> view = row ? repository_.view_of(*row) : nullptr;
    if (!view) throw PosixError(ESTALE);
    {
      const MutexLock lock(mutex_);
      view = open_.emplace(snapshot, view).first->second;
    }
    // drop() comes after the removal of the row, so one of both sees the other.
    if (find(snapshot)) return view;
    drop(snapshot);
    throw PosixError(ESTALE);
  }

  /// The snapshot was removed: its space may go once the calls under way are done.
  void drop(NodeId snapshot) {
    std::shared_ptr<Volume> dropped;
    const MutexLock lock(mutex_);
    const auto found = open_.find(snapshot);
    if (found == open_.end()) return;
    dropped = std::move(found->second);
    open_.erase(found);
  }

 private:
  std::optional<SnapshotRow> find(NodeId snapshot) const {
    const std::vector<SnapshotRow> rows = repository_.catalog_->snapshots(volume_);
    const auto found = std::find_if(rows.begin(), rows.end(),
                                    [&](const SnapshotRow& row) { return row.node == snapshot; });
    return found == rows.end() ? std::nullopt : std::make_optional(*found);
  }

  /// One that was just cut has no tree to show before its commit.
  void commit_cuts() {
    about_to_wait();
    try {
      repository_.committer_.commit_cuts(volume_);
    } catch (const StoreError&) {
      // A store that is full or broken still shows what it has.
    }
  }

  RepositoryImpl& repository_;
  const VolumeId volume_;
  Mutex mutex_;
  std::map<NodeId, std::shared_ptr<Volume>> open_ GUARDED_BY(mutex_);
};

std::shared_ptr<Volume> RepositoryImpl::with_snapshots(std::shared_ptr<Volume> volume,
                                                       const std::string& name) {
  auto source = std::make_shared<BrowsedSnapshots>(*this, find_volume(name).id);
  {
    const MutexLock lock(mutex_);
    std::erase_if(browsed_, [](const auto& one) { return one.expired(); });
    browsed_.push_back(source);
  }
  return varve::with_snapshots(std::move(volume), std::move(source));
}

void RepositoryImpl::stop_browsing(NodeId snapshot) {
  std::vector<std::weak_ptr<BrowsedSnapshots>> browsed;
  {
    const MutexLock lock(mutex_);
    browsed = browsed_;
  }
  for (const auto& one : browsed)
    if (const auto source = one.lock()) source->drop(snapshot);
}

}  // namespace varve
