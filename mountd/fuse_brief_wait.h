// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

namespace varve {

/// Waits for the next request by looking again and again, for as long as a program needs that asks
/// one thing after the other, so that neither this thread nor its processor goes to sleep in
/// between: waking them takes longer than most answers, above all in a virtual machine.
///
/// In vain it costs more than it saves, and it is in vain where the program waits for this very
/// processor. So it goes on only while four of five times find a request; otherwise one in kProbe
/// requests is waited for.
///
/// For one thread.
class FuseBriefWait {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds kLongest{50};
  static constexpr unsigned kProbe = 64;

  /// On one processor nobody could send a request meanwhile.
  explicit FuseBriefWait(bool several_processors) : enabled_(several_processors) {}

  /// Returns when `is_there` says so, or after a time that is not worth more; then the caller
  /// sleeps until there is a request. True if it is there.
  bool wait(const std::function<bool()>& is_there,
            const std::function<Clock::time_point()>& now = &Clock::now);

 private:
  static constexpr unsigned kMaxCredit = 16;
  static constexpr unsigned kPriceOfFailure = 4;

  const bool enabled_;
  unsigned credit_ = kPriceOfFailure;
  unsigned skipped_ = 0;  ///< requests since the last try
};

}  // namespace varve
