// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

namespace varve {

/// Waits for the next request by looking again and again, for as long as a program needs that asks
/// one thing after the other, so that neither this thread nor its processor goes to sleep in
/// between: waking them takes longer than most answers, above all in a virtual machine. Where that
/// was in vain it is tried less and less, down to once in kMaxSkips requests.
///
/// For one thread.
class FuseBriefWait {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds kLongest{60};
  static constexpr unsigned kMaxSkips = 64;

  /// On one processor nobody could send a request meanwhile.
  explicit FuseBriefWait(bool several_processors) : enabled_(several_processors) {}

  /// Returns when `is_there` says so, or after a time that is not worth more; then the caller
  /// sleeps until there is a request. True if it is there.
  bool wait(const std::function<bool()>& is_there,
            const std::function<Clock::time_point()>& now = &Clock::now);

 private:
  const bool enabled_;
  unsigned skips_ = 0;       ///< calls that return at once
  unsigned next_skips_ = 1;  ///< after the next failure
};

}  // namespace varve
