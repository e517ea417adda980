// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/cut_plan.h"

#include <random>

namespace varve::test {

std::optional<Breach> first_breach(const CrashRecord& record, const CutPlan& plan,
                                   std::size_t& cuts) {
  PowerCut power(record.start, record.trace);
  std::mt19937_64 random(plan.seed);
  std::size_t count = 0;
  for (std::size_t position = plan.first; position <= record.trace.size() && count < plan.limit;
       position += plan.stride, ++count) {
    power.advance_to(position);
    Cut cut{position, Loss::random(random())};
    if (count % 4 == 3) cut.loss.mode = Loss::Mode::kNothing;
    CheckOptions options = plan.check;
    options.go_on = count % 5 == 2;
    options.cuts_in_recovery = count % 5 == 4 ? 1 : 0;
    ++cuts;
    const std::string what = breach_in(record, power, cut, options);
    if (!what.empty()) return Breach{cut, what};
  }
  return std::nullopt;
}

}  // namespace varve::test
