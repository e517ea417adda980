// SPDX-License-Identifier: Apache-2.0
#include "store/store_impl.h"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/commit_record.h"

namespace varve {

StoreImpl::StoreImpl(Disk& disk, const StoreOptions& options, Parts parts)
    : disk_(disk),
      options_(options),
      directory_(std::move(parts.directory)),
      recovered_ring_(std::move(parts.recovered_ring)),
      recovered_(std::move(parts.state)),
      objects_(std::move(parts.objects)),
      writer_(std::move(parts.writer)),
      admission_(disk, directory_.paths().root(), options.reserve_bytes),
      superblock_(std::move(parts.superblock)),
      committed_{recovered_.csn, recovered_.root, recovered_.replay_from},
      opening_pin_(std::move(parts.opening_pin)),
      commit_records_(recovered_.commits.begin(), recovered_.commits.end()),
      last_operation_lsn_(recovered_.last_operation_lsn) {
  checkpointer_ = std::thread([this] { checkpoint_loop(); });
  if (fuller_than(1)) ask_for_checkpoint();
}

StoreImpl::~StoreImpl() { stop_checkpoints(); }

// ---- reading ------------------------------------------------------------------------------------

void StoreImpl::replay(const std::function<void(const JournalRecord&)>& visit) {
  VARVE_CHECK(recovered_ring_ != nullptr);
  const std::unique_ptr<JournalRing> ring = std::move(recovered_ring_);
  replay_records(*ring, recovered_, visit);
}

Bytes StoreImpl::root() const {
  const MutexLock lock(state_mutex_);
  return committed_.root;
}

Csn StoreImpl::csn() const {
  const MutexLock lock(state_mutex_);
  return committed_.csn;
}

StoreFigures StoreImpl::figures() const {
  const LocalObjects::Figures objects = objects_->figures();
  StoreFigures out;
  out.live_bytes = objects.live_bytes;
  out.segment_bytes = objects.segment_bytes;
  out.journal_bytes = writer_->used_bytes();
  out.journal_file_bytes = writer_->file_bytes();
  out.journal_capacity_bytes = writer_->capacity_bytes();
  const Disk::Space space = admission_.space();
  out.free_bytes = space.free_bytes;
  out.total_bytes = space.total_bytes;
  out.objects = objects.objects;
  out.damaged_objects = objects.damaged_objects;
  out.device_flushes =
      objects.device_flushes + writer_->device_flushes() + superblock_flushes_.load();
  out.journal_appended_bytes = writer_->appended_bytes();
  out.object_reads = objects.object_reads;
  out.cache_bytes = objects.cache_bytes;
  out.cache_hits = objects.cache_hits;
  out.cache_misses = objects.cache_misses;
  out.csn = csn();
  out.read_only = writer_->poisoned();
  return out;
}

// ---- changing -----------------------------------------------------------------------------------

void StoreImpl::check_writable() const {
  if (!writer_->poisoned()) return;
  throw StoreError(EIO, path() + ": the store is read-only after a failed write");
}

std::unique_ptr<ObjectsBatch> StoreImpl::begin() {
  check_writable();
  return objects_->begin();
}

Csn StoreImpl::commit(std::unique_ptr<ObjectsBatch> batch, ByteView root, Lsn replay_from) {
  VARVE_CHECK(root.size() <= kMaxRootBytes && !needs_references());
  auto* const own = dynamic_cast<LocalBatch*>(batch.get());
  VARVE_CHECK(own != nullptr && replay_from <= writer_->end());
  check_writable();
  drop_opening_pin();
  try {
    write_commit(*own, root, replay_from);
  } catch (const Error& error) {
    // Nothing was accepted that would be lost: a full disk ends this batch, not the store.
    if (error.code() != ENOSPC) writer_->poison(std::string("commit: ") + error.what());
    admission_.wake();
    pressed_ = false;
    throw;
  }
  pressed_ = false;
  if (fuller_than(1)) ask_for_checkpoint();
  return csn();
}

void StoreImpl::write_commit(LocalBatch& batch, ByteView root, Lsn replay_from) {
  Committed next;
  next.csn = csn() + 1;
  next.root.assign(root.begin(), root.end());
  next.replay_from = replay_from;
  const CommitDelta delta = batch.take_delta(next.csn);
  const Bytes payload = CommitRecord{next.csn, replay_from, next.root, delta.encode()}.encode();
  if (!writer_->has_room(payload.size())) {
    checkpoint();
    if (!writer_->has_room(payload.size())) {
      throw StoreError(ENOSPC, path() + ": the journal has no room for a commit of " +
                                   std::to_string(payload.size()) + " bytes");
    }
  }
  try {
    batch.sync_segments();
  } catch (const Error& error) {
    // Whatever the errno, also a full disk that shows only now: a failed sync is final.
    throw StoreError(EIO, error.what());
  }
  const Lsn lsn = writer_->append_split(JournalType::kCommit, payload);
  writer_->flush();
  // From here on the commit has happened, whatever fails.
  try {
    objects_->apply(delta);
  } catch (const Error& error) {
    // A later commit would find the index without this one.
    throw StoreError(EIO, std::string("the index does not take a commit: ") + error.what());
  }
  published(std::move(next), lsn);
}

void StoreImpl::published(Committed next, Lsn record_lsn) {
  admission_.committed(next.replay_from);
  const MutexLock lock(state_mutex_);
  commit_records_.push_back({next.csn, record_lsn});
  committed_ = std::move(next);
}

Lsn StoreImpl::Appender::append(JournalType type, std::initializer_list<ByteView> parts) {
  const Lsn lsn = store_.writer_->append(type, parts);
  Lsn last = store_.last_operation_lsn_.load(std::memory_order_relaxed);
  while (last < lsn && !store_.last_operation_lsn_.compare_exchange_weak(last, lsn)) {
  }
  if (store_.fuller_than(2)) store_.press();
  return lsn;
}

bool StoreImpl::fuller_than(std::uint64_t quarters) const {
  return writer_->used_bytes() > writer_->capacity_bytes() / 4 * quarters;
}

void StoreImpl::on_pressure(std::function<void()> callback) {
  const MutexLock lock(pressure_mutex_);
  pressure_ = std::move(callback);
  pressed_ = false;
}

void StoreImpl::press() {
  if (pressed_.load(std::memory_order_relaxed) || pressed_.exchange(true)) return;
  std::function<void()> callback;
  {
    const MutexLock lock(pressure_mutex_);
    callback = pressure_;
  }
  if (callback) callback();
}

void StoreImpl::admit(std::uint64_t bytes) {
  while (fuller_than(3)) {
    check_writable();
    press();
    admission_.wait_a_moment();
  }
  // An append that has to wait for a file of the journal waits with its volume's gate shut.
  writer_->wait_for_file();
  check_writable();
  admission_.take(bytes, writer_->end());
}

void StoreImpl::drop_opening_pin() {
  const MutexLock lock(state_mutex_);
  opening_pin_.reset();
}

std::uint64_t StoreImpl::reclaim() {
  check_writable();
  drop_opening_pin();
  const std::uint64_t freed = objects_->reclaim();
  if (freed > 0) admission_.removed();
  return freed;
}

void StoreImpl::set_references(
    const std::function<void(const std::function<void(const Digest&)>&)>& count) {
  check_writable();
  objects_->set_references(csn(), count);
}

void StoreImpl::visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit) {
  objects_->visit_references(visit);
}

// ---- trimming -----------------------------------------------------------------------------------

void StoreImpl::checkpoint_loop() {
  pthread_setname_np(pthread_self(), "varve-trim");
  for (;;) {
    {
      const MutexLock lock(state_mutex_);
      while (!checkpoint_wanted_ && !stopping_) checkpoint_asked_.wait(state_mutex_);
      if (stopping_) return;
      checkpoint_wanted_ = false;
    }
    try {
      if (!writer_->poisoned()) checkpoint();
    } catch (const Error& error) {
      log_error("store", std::string("trim of the journal: ") + error.what());
      if (error.code() != ENOSPC) writer_->poison(error.what());
    }
    admission_.wake();
  }
}

void StoreImpl::ask_for_checkpoint() {
  {
    const MutexLock lock(state_mutex_);
    checkpoint_wanted_ = true;
  }
  checkpoint_asked_.notify_one();
}

void StoreImpl::checkpoint() {
  const MutexLock lock(checkpoint_mutex_);
  objects_->checkpoint();
  Committed committed;
  {
    const MutexLock state_lock(state_mutex_);
    committed = committed_;
  }
  writer_->flush_with_mark();
  // The mark behind the last flush is not durable yet: a scan could not begin there.
  const Lsn start = writer_->mark_before(std::min(needed_from(committed), writer_->durable() - 1));
  write_superblock(committed, start, false);
  writer_->trim(start);
  admission_.wake();
}

Lsn StoreImpl::needed_from(const Committed& committed) {
  const Csn indexed = objects_->checkpointed_csn();
  const MutexLock lock(state_mutex_);
  while (!commit_records_.empty() && commit_records_.front().csn <= indexed) {
    commit_records_.pop_front();
  }
  if (commit_records_.empty()) return committed.replay_from;
  return std::min(committed.replay_from, commit_records_.front().lsn);
}

void StoreImpl::write_superblock(const Committed& committed, Lsn start_lsn, bool clean) {
  Superblock next = superblock_.current();
  next.csn = committed.csn;
  next.root = committed.root;
  next.replay_from = committed.replay_from;
  next.journal_start_lsn = start_lsn;
  next.durable_lsn = clean ? start_lsn : writer_->durable();
  next.journal_epoch = writer_->epoch();
  next.clean = clean;
  try {
    superblock_.write(std::move(next));
    ++superblock_flushes_;
  } catch (const Error& error) {
    writer_->poison(error.what());
    throw StoreError(EIO, error.what());
  }
}

// ---- closing ------------------------------------------------------------------------------------

void StoreImpl::close() {
  stop_checkpoints();
  if (writer_->poisoned()) {
    log_warn("store", path() + ": closed as a crash would leave it, after a failed write");
    return;
  }
  checkpoint();
  objects_->close();
  mark_closed();
}

void StoreImpl::mark_closed() {
  const MutexLock lock(checkpoint_mutex_);
  Committed committed;
  {
    const MutexLock state_lock(state_mutex_);
    committed = committed_;
  }
  // Operations that no commit holds stay in the journal, and the next open replays them.
  if (last_operation_lsn_.load() >= committed.replay_from && last_operation_lsn_.load() != 0)
    return;
  // So do commits that the index lacks.
  if (objects_->checkpointed_csn() < committed.csn) return;
  const JournalLayout layout{superblock_.current().journal_file_bytes};
  const Lsn end = round_up(writer_->end(), kJournalBlockBytes);
  write_superblock(committed, layout.place(end, kJournalRecordHeaderBytes), true);
}

void StoreImpl::stop_checkpoints() {
  {
    const MutexLock lock(state_mutex_);
    stopping_ = true;
  }
  checkpoint_asked_.notify_all();
  if (checkpointer_.joinable()) checkpointer_.join();
}

}  // namespace varve
