// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/crash/crash_check.h"

namespace varve::test {

/// A recorded run that goes through a part of the store that random workloads seldom reach.
struct CrashScenario {
  std::string name;
  std::uint64_t seed = 0;
  CrashRecord record;
  CheckOptions check;
  /// The index was missing at first, so up to this step of the trace a cut may find it so.
  std::size_t index_rebuilt_before = 0;
};

/// Random workloads; a lost index made anew; journal files that get another size.
std::vector<CrashScenario> all_scenarios();

}  // namespace varve::test
