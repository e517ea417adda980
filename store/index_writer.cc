// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <algorithm>
#include <cerrno>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/index.h"

namespace varve {

namespace {

constexpr std::uint64_t kMinBloomDigests = 1 << 16;

std::unique_ptr<IndexDatabase> open_database(Disk& disk, const std::string& path,
                                             const StoreId& store) {
  if (disk.exists(index_damage_mark(path))) {
    throw CorruptionError(path + ": was found damaged earlier");
  }
  if (!disk.exists(path)) throw StoreError(ENOENT, path + ": " + errno_text(ENOENT));
  return std::make_unique<IndexDatabase>(disk, path, store);
}

/// On a full disk the index opens with the log that it has: removing must work there.
bool truncate_log_if_there_is_room(IndexDatabase& database, const std::string& path) {
  try {
    return database.truncate_log();
  } catch (const StoreError& error) {
    if (error.code() != ENOSPC) throw;
    log_warn("index", path + ": its log stays as it is until there is space: " + error.what());
    return false;
  }
}

/// A failure after which the file's content is not known: never tried again.
bool is_final(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const CorruptionError&) {
    return true;
  } catch (const Error& error) {
    return error.code() == EIO;
  } catch (...) {
    return true;
  }
}

bool is_corruption(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const CorruptionError&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

std::string index_damage_mark(const std::string& path) { return path + ".damage-found"; }

Index::Index(Disk& disk, const std::string& path, const StoreId& store, const ReadPins& pins,
             const IndexLimits& limits)
    : disk_(disk),
      path_(path),
      pins_(pins),
      limits_(limits),
      database_(open_database(disk, path, store)) {
  try {
    // A log that a crash left may be in the page cache only: what is counted as checkpointed
    // must not be.
    const bool durable = truncate_log_if_there_is_room(*database_, path_);
    // SQLite flushes the name of a log that it makes, at its first flush, and not that of one it
    // finds: a process that died in between would leave a log without a durable name.
    disk_.sync_directory(path_.substr(0, path_.rfind('/')));
    start(database_->summary(), durable);
  } catch (const CorruptionError&) {
    mark_damaged();
    throw;
  }
}

void Index::start(const IndexDatabase::Summary& summary, bool durable) {
  sealed_at_open_ = summary.sealed_segments;
  last_segment_at_open_ = summary.last_segment;
  {
    const MutexLock lock(mutex_);
    take_totals(summary);
    damaged_.insert(summary.damaged.begin(), summary.damaged.end());
    applied_csn_ = summary.applied_csn;
    checkpointed_csn_ = durable ? summary.applied_csn : 0;
    needs_references_ = summary.references != IndexDatabase::References::kExact;
    next_flush_objects_ = limits_.flush_objects;
  }
  writer_ = std::thread([this] { writer_main(); });
}

void Index::take_totals(const IndexDatabase::Summary& summary) {
  totals_ = ObjectTotals();
  totals_.objects = static_cast<std::int64_t>(summary.objects);
  totals_.referenced_bytes = static_cast<std::int64_t>(summary.referenced_bytes);
  for (const auto& [id, bytes] : summary.segment_live_bytes) {
    totals_.segment_live_bytes[id] = static_cast<std::int64_t>(bytes);
  }
}

Index::~Index() { stop(); }

void Index::stop() {
  if (!writer_.joinable()) return;
  stop_scan_.store(true);
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    work_.notify_all();
    done_.notify_all();
  }
  writer_.join();
}

// --- requests ---

void Index::request(bool durable) {
  const MutexLock lock(mutex_);
  const std::uint64_t ticket = ++wanted_ticket_;
  if (durable) durable_ticket_ = ticket;
  work_.notify_one();
  while (done_ticket_ < ticket && !stopping_) done_.wait(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

void Index::flush() { request(false); }

void Index::checkpoint() { request(true); }

void Index::close() {
  checkpoint();
  stop();
  database_->truncate_log();
  {
    const MutexLock lock(readers_mutex_);
    readers_.clear();
  }
  database_.reset();
}

void Index::run_on_writer(const std::function<void(IndexDatabase&)>& task) {
  const MutexLock one_at_a_time(task_mutex_);
  const MutexLock lock(mutex_);
  task_ = &task;
  work_.notify_one();
  while (task_ != nullptr && !stopping_) done_.wait(mutex_);
  if (task_failure_) std::rethrow_exception(std::exchange(task_failure_, nullptr));
}

// --- the writer ---

bool Index::work_wanted() const {
  if (stopping_ || task_ != nullptr || done_ticket_ < wanted_ticket_) return true;
  return !poisoned_ && table_.active().objects.size() >= next_flush_objects_;
}

void Index::writer_main() {
  ::pthread_setname_np(::pthread_self(), "varve-index");
  try {
    grow_bloom();
  } catch (const Error& error) {
    // Without the filter every lookup asks the file: slower, not wrong.
    log_error("index", std::string("no bloom filter: ") + error.what());
    if (dynamic_cast<const CorruptionError*>(&error) != nullptr) mark_damaged();
  }
  for (;;) {
    {
      const MutexLock lock(mutex_);
      while (!work_wanted()) work_.wait(mutex_);
      if (stopping_) return;
    }
    serve_requests();
  }
}

void Index::serve_requests() {
  const std::function<void(IndexDatabase&)>* task = nullptr;
  std::uint64_t ticket = 0;
  bool durable = false;
  bool write = false;
  {
    const MutexLock lock(mutex_);
    task = task_;
    ticket = wanted_ticket_;
    durable = durable_ticket_ > done_ticket_;
    write = !poisoned_ &&
            (done_ticket_ < ticket || table_.active().objects.size() >= next_flush_objects_);
  }
  std::exception_ptr failure;
  std::exception_ptr task_failure;
  try {
    if (write) write_backlog(durable);
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    if (task != nullptr) (*task)(*database_);
  } catch (...) {
    task_failure = std::current_exception();
  }
  if (write) note_failure(failure);
  const MutexLock lock(mutex_);
  if (task != nullptr) {
    task_failure_ = task_failure;
    task_ = nullptr;
  }
  done_ticket_ = std::max(done_ticket_, ticket);
  done_.notify_all();
}

void Index::note_failure(const std::exception_ptr& failure) {
  const bool final_failure = failure && is_final(failure);
  if (failure && is_corruption(failure)) mark_damaged();
  const MutexLock lock(mutex_);
  failure_ = failure;
  poisoned_ = final_failure;
  // After a full disk, try again when as much again has come, or when somebody asks.
  next_flush_objects_ =
      limits_.flush_objects + (failure ? table_.active().objects.size() : std::size_t{0});
}

std::shared_ptr<const IndexChange> Index::freeze() {
  const Csn horizon = pins_.horizon();
  const MutexLock lock(change_mutex_);
  const MutexLock state_lock(mutex_);
  if (table_.frozen()) return table_.frozen();  // of a write that failed
  ++epoch_;
  totals_.add(table_.drop_short_lived(horizon, holds_));
  return table_.freeze(applied_csn_);
}

void Index::write_backlog(bool durable) {
  bool again = true;
  while (again) {
    {
      const MutexLock lock(mutex_);
      again = table_.frozen() != nullptr;
    }
    const std::shared_ptr<const IndexChange> change = freeze();
    database_->write(*change, durable);
    const MutexLock lock(mutex_);
    table_.drop_frozen();
    if (durable) checkpointed_csn_ = change->csn;
  }
  if (database_->log_pages() >= limits_.log_pages) database_->checkpoint();
  grow_bloom();
}

// --- the bloom filter ---

void Index::build_bloom(std::uint64_t capacity) {
  const auto next = std::make_shared<BloomFilter>(capacity);
  {
    const MutexLock lock(mutex_);
    next_bloom_ = next;  // from here on, new objects go into it too
  }
  database_->visit_digests([&](const Digest& digest) {
    next->insert(digest);
    return !stop_scan_.load(std::memory_order_relaxed);
  });
  const MutexLock lock(mutex_);
  if (stopping_) return;
  for (const auto& [digest, entry] : table_.active().objects) next->insert(digest);
  bloom_ = next;
  next_bloom_ = nullptr;
}

void Index::grow_bloom() {
  std::uint64_t wanted = 0;
  {
    const MutexLock lock(mutex_);
    if (bloom_ && bloom_->inserted() <= bloom_->capacity()) return;
    wanted = 2 * static_cast<std::uint64_t>(std::max<std::int64_t>(totals_.objects, 0));
  }
  build_bloom(std::max(wanted, kMinBloomDigests));
}

// --- damage ---

void Index::mark_damaged() const {
  try {
    disk_.open(index_damage_mark(path_), Disk::Mode::kCreateNew);
    log_error("index", path_ + " is damaged; it will be rebuilt at the next start");
  } catch (const StoreError& error) {
    if (error.code() != EEXIST) log_error("index", error.what());
  }
}

}  // namespace varve
