// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/crash/crash_workload.h"
#include "tests/crash/power_cut.h"

namespace varve::test {

/// One power cut: the step of the trace before which it comes, and what it takes away.
struct Cut {
  std::size_t position = 0;
  Loss loss;

  std::string text() const;
};

struct CheckOptions {
  /// Uses the store after the check, closes it, opens and checks it again.
  bool go_on = false;
  /// An index that had to be made anew is no breach: the test took it away.
  bool may_rebuild_index = false;
  /// Cuts the power during the recovery too, this many times; not together with go_on.
  int cuts_in_recovery = 0;
  RepositoryOptions repository = crash_options();
};

/// Opens what `cut` of the record leaves, where `power` stands at its position, and looks for
/// breaches of docs/durability.md: the state is none between what was durable and what was issued,
/// records contradict each other, counts of references differ from a recount, a live object does
/// not verify, the index had to be rebuilt, something was set aside as damaged. Empty if there is
/// none.
std::string breach_in(const CrashRecord& record, const PowerCut& power, const Cut& cut,
                      const CheckOptions& options);

}  // namespace varve::test
