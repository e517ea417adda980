// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/committer.h"
#include "fs/scrub_state.h"
#include "store/base/mutex.h"
#include "store/store.h"

namespace varve {

/// Reads every object back from the disk, in order of digests, and repairs what is damaged: from a
/// second copy, from memory, or from a record of the same digest elsewhere. What cannot be repaired
/// stays known as damaged: reading it is EIO, and a write of the same content heals it.
///
/// A repair is a commit that gives the object a birth with fresh records and takes the birth back.
/// The place in the pass is kept in the store, so a pass goes on after a restart. One pass at a
/// time; safe to share between threads.
class Scrubber {
 public:
  /// The place is saved after each batch of objects; inside one the disk is read in order of place.
  Scrubber(Store& store, Committer& committer, std::function<std::int64_t()> now_ns,
           std::size_t batch_objects);
  /// Stops.
  ~Scrubber();

  /// Begins a pass, or goes on with one that was interrupted, in a thread of its own. While one
  /// runs, only its rate changes.
  void start(std::uint64_t rate_bytes);
  /// Interrupts the pass and waits for its thread.
  void stop();
  ScrubProgress progress() const;

  /// Without a thread: begins a pass or does its next batch. False when it is complete. Throws
  /// StoreError.
  bool step();
  /// Repairs objects that readers found damaged, each once in the life of this. True if one was.
  bool repair_known();

 private:
  /// Repairs what can be; gives the number that was.
  std::uint64_t repair(const std::vector<Digest>& digests);
  void begin_pass();
  void check_files();
  bool check_batch();
  void finish_pass();
  void interrupt_pass(const std::string& what);
  void pace(std::uint64_t bytes);
  bool stop_wanted() const;
  void save();
  void run();

  Store& store_;
  Committer& committer_;
  const std::function<std::int64_t()> now_ns_;
  const std::size_t batch_objects_;

  Mutex pass_mutex_;     ///< held by whoever works on the pass
  Mutex control_mutex_;  ///< held by start and stop
  mutable Mutex mutex_ ACQUIRED_AFTER(pass_mutex_, control_mutex_);
  CondVar wake_;
  ScrubState state_ GUARDED_BY(mutex_);
  bool ever_run_ GUARDED_BY(mutex_) = false;
  bool running_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::uint64_t rate_bytes_ GUARDED_BY(mutex_) = 0;
  std::vector<FileFinding> findings_ GUARDED_BY(mutex_);
  std::string failure_ GUARDED_BY(mutex_);

  Mutex tried_mutex_;
  std::set<Digest> tried_ GUARDED_BY(tried_mutex_);  ///< by repair_known
  std::thread thread_ GUARDED_BY(control_mutex_);
};

}  // namespace varve
