// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "store/base/disk.h"
#include "store/base/mutex.h"
#include "store/bloom.h"
#include "store/commit_delta.h"
#include "store/index_database.h"
#include "store/object_table.h"
#include "store/read_pins.h"

namespace varve {

/// How much may wait to be written to the index file.
struct IndexLimits {
  std::size_t flush_objects = 32'768;     ///< changed objects that start a write
  std::size_t backlog_objects = 262'144;  ///< changed objects at which a commit waits
  std::uint64_t log_pages = 4'096;        ///< of the write-ahead log, that start a checkpoint
};

/// Where every object lies and how many references it has.
///
/// Commits are published in memory (ObjectTable) and written to the index file by one thread,
/// which owns the only read-write connection and makes all checkpoints. Lookups ask the table,
/// then a bloom filter, then the file over read-only connections. Safe to share between threads;
/// apply is serialized by the caller.
///
/// Lock order: change_mutex_, mutex_, then the lock of ReadPins or readers_mutex_. No lock is held
/// while the file is written.
class Index {
 public:
  /// Opens the index of `store`. Throws CorruptionError if it has to be rebuilt, as it also is
  /// when it was found damaged earlier; StoreError(ENOENT) if there is none; UserError(ENOTSUP) if
  /// it is of a newer format.
  Index(Disk& disk, const std::string& path, const StoreId& store, const ReadPins& pins,
        const IndexLimits& limits = IndexLimits());
  /// Stops the thread without writing what waits.
  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  // --- lookups ---

  std::optional<ObjectState> find(const Digest& digest);
  struct Held {
    ObjectState state;
    bool damaged = false;  ///< known to be unreadable, or lost
  };
  /// As find, for deduplication: a found object is not purged until release_hold.
  std::optional<Held> find_and_hold(const Digest& digest);
  void release_hold(const Digest& digest);

  // --- commits ---

  /// Throws CorruptionError if `delta` cannot be applied to what is there: a release without a
  /// birth, or a birth without a record for an object that is not there.
  void validate(const CommitDelta& delta);
  /// Publishes `delta`; skips one that is applied already. Waits while the backlog is too long.
  /// Throws CorruptionError as validate, and if a commit before it is missing; nothing is changed
  /// then. Throws StoreError if the file could not be written for long.
  void apply(const CommitDelta& delta);
  Csn applied_csn() const;
  Csn checkpointed_csn() const;
  /// Writes everything applied before the call to the file; it survives kill -9.
  void flush();
  /// The same, surviving a power cut.
  void checkpoint();
  /// checkpoint(), then stops the thread and empties the log. Only the destructor may follow.
  void close();

  // --- damage ---

  /// Remembers that `digest` cannot be read.
  void note_damaged(const Digest& digest);
  /// Says that the index is wrong: a tree refers to an object that it does not know, or a segment
  /// holds more than it says. The next open makes it anew.
  void note_wrong(const std::string& why);
  /// What note_damaged was told and no commit has healed, sorted.
  std::vector<Digest> damaged() const;

  // --- checking ---

  /// Up to `limit` objects with references and digests above `after`, ascending, as of the last
  /// commit before the call.
  std::vector<LiveObject> live_after(const std::optional<Digest>& after, std::size_t limit);
  /// The same of all objects that it knows, dead ones included.
  std::vector<LiveObject> all_after(const std::optional<Digest>& after, std::size_t limit);
  /// What is wrong with the form of the index file; empty if nothing is. A damaged one is rebuilt
  /// by the next open.
  std::vector<std::string> check_file();

  // --- segments ---

  void note_sealed(SegmentId id, std::uint64_t bytes);
  void note_last_segment(SegmentId id);
  /// Forgets a segment whose file is gone.
  void forget_segment(SegmentId id);
  const std::map<SegmentId, std::uint64_t>& sealed_at_open() const { return sealed_at_open_; }
  SegmentId last_segment_at_open() const { return last_segment_at_open_; }
  /// Bytes of records that the index knows, by segment; segments without any are left out.
  std::map<SegmentId, std::uint64_t> live_bytes() const;

  // --- reclaim ---

  /// Forgets up to `limit` objects that died before `horizon` and are not held. Returns how many.
  std::uint64_t purge(Csn horizon, std::uint64_t limit);
  struct Move {
    Digest digest;
    Location from;
    Location to;
  };
  /// Objects whose copy is at `from` are at `to` from now on; others are left alone. What lies at
  /// `to` must be durable.
  void relocate(const std::vector<Move>& moves);

  // --- recount ---

  bool needs_references() const;
  void begin_references();
  /// In order of digests.
  void add_references(const std::vector<std::pair<Digest, std::uint64_t>>& births);
  void finish_references(Csn csn);
  /// Writes everything, then calls `visit` with each object that has references.
  void visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit);

  struct Figures {
    std::uint64_t objects = 0;
    std::uint64_t referenced_bytes = 0;
    std::uint64_t backlog_objects = 0;
    std::uint64_t damaged_objects = 0;
  };
  Figures figures() const;

 private:
  /// A digest's state as a change begins, found while change_mutex_ was held.
  struct Base {
    std::optional<ObjectState> state;
    bool row_exists = false;
    bool damaged = false;
  };
  using Bases = std::unordered_map<Digest, Base>;
  struct Step {
    Digest digest;
    Base base;
    ObjectState after;
    bool heals = false;
  };
  /// What validate found, for the apply that follows.
  struct Prepared {
    Csn csn = 0;
    std::uint64_t epoch = 0;
    std::vector<Step> steps;
  };
  class ReaderLease;

  // index.cc
  template <class Ask>
  auto ask_file(const Ask& ask);
  std::optional<ObjectState> find_in_file(const Digest& digest);
  Bases load(const std::vector<Digest>& digests) REQUIRES(change_mutex_);
  std::vector<Step> plan(const CommitDelta& delta) REQUIRES(change_mutex_);
  Step step_for(const Digest& digest, const Base& base, const CommitDelta::Birth* birth,
                const CommitDelta::Release* release, Csn csn) const;
  void publish(const std::vector<Step>& steps) REQUIRES(change_mutex_);
  void publish_one(const Digest& digest, const Base& base, const std::optional<ObjectState>& after)
      REQUIRES(change_mutex_, mutex_);
  void wait_for_room();

  // index_writer.cc
  void start(const IndexDatabase::Summary& summary, bool durable);
  void take_totals(const IndexDatabase::Summary& summary) REQUIRES(mutex_);
  void writer_main();
  bool work_wanted() const REQUIRES(mutex_);
  void serve_requests();
  void write_backlog(bool durable);
  std::shared_ptr<const IndexChange> freeze();
  void request(bool durable);
  void run_on_writer(const std::function<void(IndexDatabase&)>& task);
  void build_bloom(std::uint64_t capacity);
  void grow_bloom();
  void note_failure(const std::exception_ptr& failure);
  void stop();
  void mark_damaged() const;

  Disk& disk_;
  const std::string path_;
  const ReadPins& pins_;
  const IndexLimits limits_;
  std::map<SegmentId, std::uint64_t> sealed_at_open_;
  SegmentId last_segment_at_open_ = 0;

  /// Used by the writer thread only, once it runs.
  std::unique_ptr<IndexDatabase> database_;

  /// Held by whoever changes states: apply, purge, relocate, and the writer while it freezes.
  Mutex change_mutex_ ACQUIRED_BEFORE(mutex_);
  std::uint64_t epoch_ GUARDED_BY(change_mutex_) = 0;  ///< counts changes and freezes
  std::optional<Prepared> prepared_ GUARDED_BY(change_mutex_);

  mutable Mutex mutex_;
  ObjectTable table_ GUARDED_BY(mutex_);
  std::unordered_map<Digest, std::uint32_t> holds_ GUARDED_BY(mutex_);
  std::unordered_set<Digest> damaged_ GUARDED_BY(mutex_);
  std::shared_ptr<BloomFilter> bloom_ GUARDED_BY(mutex_);       ///< null until it is built
  std::shared_ptr<BloomFilter> next_bloom_ GUARDED_BY(mutex_);  ///< being built
  ObjectTotals totals_ GUARDED_BY(mutex_);                      ///< as of the last change
  Csn applied_csn_ GUARDED_BY(mutex_) = 0;
  Csn checkpointed_csn_ GUARDED_BY(mutex_) = 0;
  bool needs_references_ GUARDED_BY(mutex_) = false;

  CondVar work_;  ///< the writer waits here
  CondVar done_;  ///< who waits for the writer waits here
  std::uint64_t wanted_ticket_ GUARDED_BY(mutex_) = 0;
  std::uint64_t durable_ticket_ GUARDED_BY(mutex_) = 0;  ///< up to it, some caller wants durable
  std::uint64_t done_ticket_ GUARDED_BY(mutex_) = 0;
  std::exception_ptr failure_ GUARDED_BY(mutex_);  ///< of the last write; null if it succeeded
  bool poisoned_ GUARDED_BY(mutex_) = false;       ///< failure_ is final
  std::size_t next_flush_objects_ GUARDED_BY(mutex_) = 0;
  const std::function<void(IndexDatabase&)>* task_ GUARDED_BY(mutex_) = nullptr;
  std::exception_ptr task_failure_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::atomic<bool> stop_scan_{false};

  Mutex task_mutex_ ACQUIRED_BEFORE(mutex_);  ///< one task at a time

  Mutex readers_mutex_;
  std::vector<std::unique_ptr<IndexReader>> readers_ GUARDED_BY(readers_mutex_);

  std::thread writer_;
};

/// What marks the index at `path` as damaged, so that the next open rebuilds it.
std::string index_damage_mark(const std::string& path);

}  // namespace varve
