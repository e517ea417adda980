// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "store/base/about_to_wait.h"
#include "store/base/mutex.h"

namespace varve {

/// Threads that read requests and answer them, of which one leads: it alone reads, and answers in
/// place what it has read. So the requests of a program that waits for each answer are all answered
/// by one thread, which the kernel wakes on the same processor, and nobody is woken in between.
///
/// A thread that is about to wait while it answers (WaitListener) gives the lead away; another one
/// reads on, and the first comes back as a follower when it has answered. So one slow request never
/// holds up the next, and threads are as many as wait at once, up to the limit.
///
/// ```
///              +---- a request ----+
///              v                   |
///   parked -> leads -> answers ----+
///     ^                   | about to wait: wakes a parked thread, or has one started
///     +---- answered -- waits
/// ```
///
/// Every method but run() may be called from any thread at any time.
class FuseReaders {
 public:
  /// What a thread does with its turn, in a loop. One object a thread, made and used in it alone.
  class Turn {
   public:
    virtual ~Turn() = default;
    /// Waits for a request; false if there will be no more. The thread may be cancelled in it, at
    /// a place that the implementation chooses; nowhere else.
    virtual bool receive() = 0;
    /// Answers it; false if there will be no more.
    virtual bool answer() = 0;
  };
  using MakeTurn = std::function<std::unique_ptr<Turn>()>;

  /// At least 2 threads, so that one request that waits does not hold up the others.
  explicit FuseReaders(unsigned max_threads);
  ~FuseReaders();
  FuseReaders(const FuseReaders&) = delete;
  FuseReaders& operator=(const FuseReaders&) = delete;

  /// Returns after stop(), or when a turn says that there are no more requests, and every thread
  /// has answered what it had and ended. Once.
  void run(const MakeTurn& make_turn);
  /// Makes run() return, now or later; interrupts the thread that waits for a request.
  void stop();

  /// Threads started so far.
  std::size_t threads() const;

 private:
  class Reader;

  void work(const MakeTurn& make_turn);
  void start_thread(const MakeTurn& make_turn) REQUIRES(mutex_);
  /// False if there is nothing to lead any more.
  bool take_lead();
  /// False if nobody can take it before the caller or another thread has answered.
  bool give_lead_away();

  const unsigned max_threads_;
  mutable Mutex mutex_;                  ///< a leaf: taken by about_to_wait() under any other
  CondVar lead_free_;                    ///< a parked thread should look
  CondVar wanted_;                       ///< run() should look
  bool led_ GUARDED_BY(mutex_) = false;  ///< somebody leads
  bool ended_ GUARDED_BY(mutex_) = false;
  unsigned parked_ GUARDED_BY(mutex_) = 0;
  bool more_threads_ GUARDED_BY(mutex_) = true;  ///< none was refused
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace varve
