// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "store/base/about_to_wait.h"

#if defined(__clang__)
#define VARVE_TSA(x) __attribute__((x))
#else
#define VARVE_TSA(x)
#endif

#define CAPABILITY(x) VARVE_TSA(capability(x))
#define SCOPED_CAPABILITY VARVE_TSA(scoped_lockable)
#define GUARDED_BY(x) VARVE_TSA(guarded_by(x))
#define PT_GUARDED_BY(x) VARVE_TSA(pt_guarded_by(x))
#define ACQUIRED_BEFORE(...) VARVE_TSA(acquired_before(__VA_ARGS__))
#define ACQUIRED_AFTER(...) VARVE_TSA(acquired_after(__VA_ARGS__))
#define REQUIRES(...) VARVE_TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) VARVE_TSA(requires_shared_capability(__VA_ARGS__))
#define ACQUIRE(...) VARVE_TSA(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) VARVE_TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) VARVE_TSA(release_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) VARVE_TSA(release_generic_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) VARVE_TSA(try_acquire_capability(__VA_ARGS__))
#define EXCLUDES(...) VARVE_TSA(locks_excluded(__VA_ARGS__))
#define ASSERT_CAPABILITY(x) VARVE_TSA(assert_capability(x))
#define RETURN_CAPABILITY(x) VARVE_TSA(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS VARVE_TSA(no_thread_safety_analysis)

namespace varve {

/// A mutual-exclusion lock that clang's thread-safety analysis understands.
class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  /// Tells the analysis, without checking, that the calling thread holds this lock.
  void assert_held() const ASSERT_CAPABILITY(this) {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

/// Holds a Mutex for a scope; may be released and taken again inside it.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void unlock() RELEASE() {
    held_ = false;
    mutex_.unlock();
  }
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

/// A condition variable for Mutex. Wait in a loop that tests the condition. Waiting tells the
/// thread's WaitListener first.
class CondVar {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) {
    about_to_wait();
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  /// False if `timeout` passed first.
  template <class Rep, class Period>
  bool wait_for(Mutex& mutex, std::chrono::duration<Rep, Period> timeout) REQUIRES(mutex) {
    about_to_wait();
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    // system_clock: g++ 12's steady wait uses pthread_cond_clockwait, which TSan 14 does not know.
    const auto until = std::chrono::system_clock::now() + timeout;
    const bool signalled = condition_.wait_until(lock, until) == std::cv_status::no_timeout;
    lock.release();
    return signalled;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace varve
