// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fs/generation.h"
#include "fs/head.h"
#include "fs/snapshot_cut.h"
#include "snapshot/catalog.h"
#include "store/base/error.h"
#include "store/base/mutex.h"

namespace varve {

/// Moves the changes of the heads in use into the store: freezes their overlays, commits the
/// oldest generation of each in one catalog change, and publishes the result. Cuts snapshots, and
/// holds writers back while too much is dirty.
///
/// One round runs at a time, in the thread that asks for it or in the background thread. A failed
/// round publishes nothing and leaves the generations frozen: what was acknowledged stays readable
/// and in the journal, and the next round tries again. After a failed sync nothing is tried again.
///
/// A head whose own tree is damaged where it changed cannot be committed: it takes no more changes
/// (EIO) until a later round succeeds, and holds up nobody else, as long as the journal has room
/// for what it keeps there.
///
/// Safe to share between threads. Lock order: round_mutex_, the catalog's change, mutex_, a head's
/// gate, the journal.
class Committer {
 public:
  struct Limits {
    std::uint64_t dirty_limit_bytes = 0;  ///< a commit is asked for above it
    std::uint64_t dirty_stall_bytes = 0;  ///< admit waits above it
    std::uint32_t interval_ms = 0;        ///< of the background thread; 0: only when asked
    std::size_t threads = 2;
  };
  Committer(Store& store, NodeCache& cache, Catalog& catalog, const Limits& limits);
  ~Committer();

  /// Without start(), whoever needs a commit runs it.
  void start();
  void stop();

  void add(const std::shared_ptr<Head>& head);
  /// Adds a head that holds frozen generations already; `cuts` are the snapshots to be made of
  /// them.
  void add(const std::shared_ptr<Head>& head, std::map<const Overlay*, SnapshotCut> cuts);
  std::shared_ptr<Head> find(VolumeId volume) const;
  /// False while something of the volume is not committed.
  bool remove_if_clean(VolumeId volume);

  /// Commits the oldest generation of every dirty head, or of one volume. False if nothing was
  /// dirty. StoreError when the commit failed; CorruptionError when that of a volume did, and then
  /// the others are committed.
  bool round(std::optional<VolumeId> only = std::nullopt);
  /// Everything acknowledged before the call is committed, of all volumes or of one.
  void commit(std::optional<VolumeId> only = std::nullopt);
  /// Asks the background thread for a round. From any thread, under any lock.
  void request();

  /// Cuts a snapshot of a volume in use and makes it durable; its commit follows. None if the
  /// volume is not in use. UserError(EEXIST) for a name that a snapshot has or will have. Writers
  /// are held for the moment of the cut only, whatever is dirty.
  std::optional<SnapshotRow> snapshot(const SnapshotCut& cut);

  /// Commits every snapshot that is cut, of all volumes or of one: it has its manifest then.
  void commit_cuts(std::optional<VolumeId> only = std::nullopt);
  /// Snapshots that are cut and not committed.
  std::vector<SnapshotCut> pending_cuts(VolumeId volume) const;

  /// What the heads hold that is not committed and can be.
  std::uint64_t dirty_bytes() const;

  /// Before an operation of `volume` that stores `bytes`, outside every lock: waits while too much
  /// is dirty, throws StoreError(ENOSPC) when neither the bytes nor what is dirty already would
  /// fit, or the error of a failing commit. 0 bytes are not held back.
  void admit(VolumeId volume, std::uint64_t bytes);
  /// The store wants its journal trimmed.
  void pressed();

  /// One commit of the catalog that holds no generation: `edit` stages it. Rounds wait meanwhile.
  void change(const std::function<void(Catalog::Change&)>& edit);
  /// The heads in use hold back no space that died before the last commit. Waits for a round.
  void renew_pins();
  /// Catalog::delete_step.
  bool delete_step(std::size_t max_releases);

 private:
  struct Work {
    std::shared_ptr<Head> head;
    Generation generation;
  };

  std::vector<Work> select(std::optional<VolumeId> only);
  void run(const std::vector<Work>& work) REQUIRES(round_mutex_);
  void run_apart(const std::vector<Work>& work) REQUIRES(round_mutex_);
  void refuse_stuck(VolumeId volume) const;
  Lsn replay_from(const std::vector<Work>& done) const REQUIRES(round_mutex_);
  bool uncommitted_before(Lsn lsn, std::optional<VolumeId> only) const;
  void check_name(const SnapshotCut& cut) const REQUIRES(mutex_);
  void succeeded(const std::vector<Work>& work);
  void failed(const StoreError& error);
  void stuck(VolumeId volume, const CorruptionError& damage);
  void hold_back();
  std::uint64_t measure();
  std::size_t workers() const;
  void wait_for_round();
  void background();
  bool background_round();

  Store& store_;
  NodeCache& cache_;
  Catalog& catalog_;
  const Limits limits_;
  std::atomic<std::uint64_t> dirty_bytes_{0};  ///< at least what is dirty; exact after measure()
  std::atomic<bool> pressed_{false};
  std::atomic<bool> any_stuck_{false};
  std::atomic<bool> has_thread_{false};

  Mutex round_mutex_ ACQUIRED_BEFORE(mutex_);
  mutable Mutex mutex_;
  std::map<VolumeId, std::shared_ptr<Head>> heads_ GUARDED_BY(mutex_);
  /// Snapshots that are cut and not committed, by their generation.
  std::map<const Overlay*, SnapshotCut> cuts_ GUARDED_BY(mutex_);
  std::uint64_t rounds_ GUARDED_BY(mutex_) = 0;
  std::optional<StoreError> failure_ GUARDED_BY(mutex_);  ///< of the last round
  /// Why a volume cannot be committed.
  std::map<VolumeId, std::string> stuck_ GUARDED_BY(mutex_);
  CondVar round_done_;

  Mutex wake_mutex_;  ///< innermost
  CondVar wake_;
  bool wanted_ GUARDED_BY(wake_mutex_) = false;
  bool stopping_ GUARDED_BY(wake_mutex_) = false;
  std::thread thread_;
};

}  // namespace varve
