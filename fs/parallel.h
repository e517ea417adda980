// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

#include "store/base/mutex.h"

namespace varve {

/// Calls `work(index)` for every index below `count`, from up to `threads` threads, this one being
/// one of them; returns when all are done. The first exception stops the rest and is thrown.
template <class Work>
void parallel_for(std::size_t threads, std::size_t count, const Work& work) {
  std::atomic<std::size_t> next{0};
  Mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (std::size_t index = next++; index < count; index = next++) work(index);
    } catch (...) {
      next = count;
      const MutexLock lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> helpers;
  while (helpers.size() + 1 < threads && helpers.size() + 1 < count) helpers.emplace_back(run);
  run();
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace varve
