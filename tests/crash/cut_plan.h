// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/crash/crash_check.h"

namespace varve::test {

/// Which cuts of a trace are tried.
struct CutPlan {
  std::uint64_t seed = 1;
  std::size_t first = 0;   ///< step
  std::size_t stride = 1;  ///< steps between two cuts
  std::size_t limit = SIZE_MAX;
  CheckOptions check;
};

/// A cut that a store does not survive.
struct Breach {
  Cut cut;
  std::string what;

  std::string text() const { return cut.text() + ": " + what; }
};

/// Cuts the power before each step that `plan` says, each time with another loss; at every fourth
/// only the process dies. `cuts` counts. Stops at the first breach.
std::optional<Breach> first_breach(const CrashRecord& record, const CutPlan& plan,
                                   std::size_t& cuts);

}  // namespace varve::test
