// SPDX-License-Identifier: Apache-2.0
#include "mountd/own_descriptors.h"

#include <linux/close_range.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <thread>

#include "mountd/fuse_slow_calls.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// Leaves the table that the threads share; the new one has descriptors 0 to 2. False before Linux
/// 5.9: then a killed process may linger.
bool take_own_table() {
  constexpr unsigned kFirstToClose = 3;
  return ::close_range(kFirstToClose, ~0u, CLOSE_RANGE_UNSHARE) == 0;
}

}  // namespace

void run_with_own_descriptors(const std::function<void()>& work) {
  std::exception_ptr thrown;
  std::thread thread = start_quiet_thread("fuse-wait", [&] {
    try {
      if (!take_own_table())
        log_warn("fuse", "this kernel gives no thread its own descriptors: " + errno_text(errno));
      work();
    } catch (...) {
      thrown = std::current_exception();
    }
  });
  thread.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace varve
