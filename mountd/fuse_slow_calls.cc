// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_slow_calls.h"

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace varve {
namespace {

/// Blocks every signal in the calling thread, and so in threads it starts, for a scope.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

std::thread start_quiet_thread(const char* name, std::function<void()> body) {
  const NoSignals quiet;
  return std::thread([name, body = std::move(body)] {
    pthread_setname_np(pthread_self(), name);
    body();
  });
}

FuseSlowCalls::FuseSlowCalls(unsigned max_threads) : max_threads_(max_threads) {}

void FuseSlowCalls::run(std::function<void()> call) {
  {
    MutexLock lock(mutex_);
    const bool more = calls_.size() >= idle_;  // the idle ones have calls to wake up for
    const bool served = !finishing_ && (!more || start_thread() || !threads_.empty());
    if (served) {
      calls_.push_back(std::move(call));
      arrived_.notify_one();
      return;
    }
  }
  call();
}

bool FuseSlowCalls::start_thread() {
  if (threads_.size() >= max_threads_) return false;
  try {
    threads_.push_back(start_quiet_thread("fuse-slow", [this] { work(); }));
    return true;
  } catch (const std::system_error&) {
    return false;  // no more threads for us; those there are serve on
  }
}

void FuseSlowCalls::work() {
  MutexLock lock(mutex_);
  for (;;) {
    while (calls_.empty() && !finishing_) {
      ++idle_;
      arrived_.wait(mutex_);
      --idle_;
    }
    if (calls_.empty()) return;
    const std::function<void()> call = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
    call();
    lock.lock();
  }
}

std::size_t FuseSlowCalls::waiting() const {
  MutexLock lock(mutex_);
  return calls_.size();
}

void FuseSlowCalls::finish() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    finishing_ = true;
    threads.swap(threads_);
    arrived_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace varve
