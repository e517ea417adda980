// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/crash/disk_trace.h"

namespace varve::test {

/// Which of the changes that were not flushed a power cut takes away. Names of files are lost one
/// by one in every mode but kLater and kSkipped.
struct Loss {
  enum class Mode : std::uint8_t {
    kNothing,  ///< the process died, the machine did not
    kAll,
    kSectors,  ///< each sector of 512 bytes and each change of a size by itself
    kWrites,   ///< each write by itself
    kFiles,    ///< all of a file or nothing of it
    kLater,    ///< everything after a random moment
    kSkipped,  ///< what the skipped flushes should have covered, and nothing else
  };
  Mode mode = Mode::kAll;
  std::uint32_t percent = 50;
  std::uint64_t seed = 0;

  /// A random one of those that do not depend on skipped flushes.
  static Loss random(std::uint64_t seed);
  std::string text() const;
};

/// Follows a trace of a disk and makes the images that a power cut between two of its steps may
/// leave. Reads from the trace, which must outlive it.
class PowerCut {
 public:
  /// `skips` says which flushes, by place in the trace, are taken for not done.
  PowerCut(DiskImage start, const std::vector<DiskStep>& trace,
           std::function<bool(std::size_t)> skips = {});

  /// Goes on to the cut before step `position`.
  void advance_to(std::size_t position);
  DiskImage image(const Loss& loss) const;
  /// What is promised at this moment.
  const Promise& promise() const { return promise_; }
  /// Skipped flushes have left something that kSkipped would take away.
  bool owes() const { return !owed_.empty(); }

 private:
  void flush(const DiskStep& step, bool skipped);
  static bool covers(const DiskStep& flush, const DiskStep& step);

  const std::vector<DiskStep>& trace_;
  const std::function<bool(std::size_t)> skips_;
  std::size_t position_ = 0;
  DiskImage durable_;
  std::vector<std::size_t> pending_;  ///< steps that no flush has covered, in order
  std::set<std::size_t> owed_;        ///< of those, what skipped flushes should have covered
  Promise promise_;
};

}  // namespace varve::test
