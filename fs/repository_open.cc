// SPDX-License-Identifier: Apache-2.0
// Opening a repository: what the journal holds of each volume becomes commits.
#include <cerrno>
#include <utility>

#include "fs/generation.h"
#include "fs/repository_impl.h"
#include "fs/transaction.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {

/// What the journal says about one volume, as generations in the order of their cuts.
struct RepositoryImpl::Replayed {
  struct Part {
    std::shared_ptr<Overlay> overlay;
    Lsn end_lsn = 0;  ///< after the cut; 0: the end of the journal
    std::optional<SnapshotCut> cut;
  };
  std::vector<Part> parts;
  std::vector<AppliedRequest> requests;  ///< that a mount of an earlier process may send again

  /// The generation that takes the next operation.
  Overlay& open() {
    if (parts.empty() || parts.back().cut) parts.push_back({std::make_shared<Overlay>(), 0, {}});
    return *parts.back().overlay;
  }
  std::optional<Lsn> first_lsn() const {
    return parts.empty() ? std::nullopt : parts.front().overlay->first_lsn;
  }
};

/// What is committed already counts too: it may not have been answered.
void RepositoryImpl::note_request(const JournalRecord& record, VolumeId volume,
                                  Replayed& replayed) const {
  const auto since = options_.resumed->find(volume);
  if (since == options_.resumed->end() || record.lsn < since->second) return;
  std::optional<AppliedRequest> request = OperationCodec::request_of(record.payload);
  if (!request) return;
  request->lsn = record.lsn;
  replayed.requests.push_back(*request);
}

RepositoryImpl::ReplayedVolumes RepositoryImpl::replay() {
  ReplayedVolumes out;
  store_->replay([&](const JournalRecord& record) {
    const bool is_cut = record.type == JournalType::kSnapshot;
    if (!is_cut && record.type != JournalType::kOperation) return;
    std::optional<SnapshotCut> cut;
    if (is_cut) cut = SnapshotCut::decode(record.payload);
    const VolumeId volume = cut ? cut->volume : OperationCodec::volume_of(record.payload);
    const std::optional<VolumeRow> row = catalog_->volume(volume);
    if (!row) return;
    if (options_.resumed && !is_cut) note_request(record, volume, out[volume]);
    if (record.lsn < row->committed_lsn) return;
    Replayed& replayed = out[volume];
    Overlay& overlay = replayed.open();
    if (!overlay.first_lsn) overlay.first_lsn = record.lsn;
    if (cut) {
      replayed.parts.back().cut = std::move(cut);
      replayed.parts.back().end_lsn = record.end_lsn;
    } else {
      OperationCodec::replay(record.payload, overlay);
    }
  });
  return out;
}

/// Where a replay after a crash during the recovery has to begin.
Lsn RepositoryImpl::oldest_lsn(const ReplayedVolumes& volumes, Lsn end) {
  Lsn out = end;
  for (const auto& [volume, replayed] : volumes) {
    if (const auto first = replayed.first_lsn()) out = std::min(out, *first);
  }
  return out;
}

std::unique_ptr<Repository> Repository::open(Disk& disk, const std::string& path, bool create,
                                             const RepositoryOptions& options) {
  if (create && !Store::exists(disk, path)) Store::create(disk, path, options.store);
  const auto open_store = [&] {
    return std::make_unique<RepositoryImpl>(Store::open(disk, path, options.store), options);
  };
  try {
    return open_store();
  } catch (const CorruptionError& error) {
    // A damaged page of the index may show only when the catalog is read: another open makes the
    // index anew.
    if (!Store::index_is_marked(disk, path)) throw;
    log_warn("repository", std::string("the index is damaged: ") + error.what());
  }
  return open_store();
}

RepositoryImpl::RepositoryImpl(std::unique_ptr<Store> store, const RepositoryOptions& options)
    : options_(options),
      store_(std::move(store)),
      cache_(store_->objects(), options.node_cache_bytes),
      catalog_(Catalog::load(*store_, cache_)),
      committer_(*store_, cache_, *catalog_,
                 {options.dirty_limit_bytes, options.dirty_stall_bytes, options.commit_interval_ms,
                  options.store.worker_threads}),
      scrubber_(
          *store_, committer_, [this] { return now_ns(); }, options.scrub_batch_objects),
      alive_(std::make_shared<RepositoryImpl*>(this)) {
  if (store_->needs_references()) recount_references();
  recover();
  store_->on_pressure([alive = std::weak_ptr(alive_)] {
    if (const auto self = alive.lock()) (*self)->committer_.pressed();
  });
  if (!options_.background) return;
  committer_.start();
  cleaner_ = std::thread([this] { clean_in_background(); });
}

RepositoryImpl::~RepositoryImpl() {
  alive_.reset();
  stop_threads();
}

void RepositoryImpl::recount_references() {
  log_warn("repository", "the index was lost; counting references from the trees");
  store_->set_references(
      [&](const std::function<void(const Digest&)>& count) { catalog_->count_births(count); });
}

/// Generation by generation, oldest first, all volumes of one step in one commit: a crash in
/// between leaves the rest in the journal. What an operation acknowledged and the cut of every
/// durable snapshot is there afterwards.
void RepositoryImpl::recover() {
  ReplayedVolumes volumes = replay();
  const Lsn end = store_->journal().end();
  if (options_.resumed) {  // programs wait for their mounts
    for (auto& [volume, replayed] : volumes) keep_uncommitted(volume, replayed, end);
    return;
  }
  try {
    while (!volumes.empty()) recover_step(volumes, end);
  } catch (const StoreError& error) {
    if (error.code() != ENOSPC) throw;
    log_error("repository",
              "the disk is full: what the journal holds is readable and will be committed when "
              "there is space; free some on the host, or remove files or snapshots");
    for (auto& [volume, replayed] : volumes) keep_uncommitted(volume, replayed, end);
  }
}

void RepositoryImpl::recover_step(ReplayedVolumes& volumes, Lsn end) {
  const std::unique_ptr<Catalog::Change> change = catalog_->begin();
  ReplayedVolumes rest;
  for (const auto& [volume, replayed] : volumes) {
    const Replayed::Part& part = replayed.parts.front();
    const VolumeRow row = catalog_->volume(volume).value();
    stage_generation(*change, *catalog_, *store_, cache_,
                     {volume, manifest_of(row).value().base, part.overlay,
                      part.cut ? part.end_lsn : end, part.cut},
                     options_.store.worker_threads);
    if (replayed.parts.size() > 1)
      rest[volume].parts.assign(replayed.parts.begin() + 1, replayed.parts.end());
  }
  change->finish(oldest_lsn(rest, end));
  volumes = std::move(rest);
}

/// Leaves a volume as a detach leaves one that could not be committed: its head waits for the next
/// round, and the next attach takes it over.
void RepositoryImpl::keep_uncommitted(VolumeId volume, const Replayed& replayed, Lsn end) {
  std::deque<Frozen> frozen;
  std::map<const Overlay*, SnapshotCut> cuts;
  for (const Replayed::Part& part : replayed.parts) {
    frozen.push_back({part.overlay, part.cut ? part.end_lsn : end});
    if (part.cut) cuts.emplace(part.overlay.get(), *part.cut);
  }
  const VolumeRow row = catalog_->volume(volume).value();
  auto head = std::make_shared<Head>(*store_, cache_, volume, manifest_of(row).value().base, false);
  head->restore(std::move(frozen));
  head->requests().resume(replayed.requests);
  committer_.add(head, std::move(cuts));
  const MutexLock lock(mutex_);
  attachments_[volume] = {head, nullptr};
}

void RepositoryImpl::close() {
  {
    const MutexLock lock(mutex_);
    for (const auto& [volume, attachment] : attachments_) VARVE_CHECK(!attachment.volume);
  }
  scrubber_.stop();  // its repairs are commits
  committer_.commit();
  stop_threads();
  {
    const MutexLock lock(mutex_);
    attachments_.clear();
  }
  store_->close();
}

}  // namespace varve
