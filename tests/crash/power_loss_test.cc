// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/crash/cut_plan.h"

namespace varve::test {
namespace {

class PowerLoss : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, PowerLoss, testing::Range<std::uint64_t>(1, 7));

TEST_P(PowerLoss, LeavesEverythingFlushedAndNothingHalf) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  const CrashRecord record = CrashWorkload(GetParam()).run(40);
  ASSERT_FALSE(HasFailure());
  CutPlan plan;
  plan.seed = GetParam();
  plan.first = GetParam() % 5;
  plan.stride = 5;
  std::size_t cuts = 0;
  const std::optional<Breach> breach = first_breach(record, plan, cuts);
  EXPECT_FALSE(breach) << breach->text();
  EXPECT_GT(cuts, 50u);
}

}  // namespace
}  // namespace varve::test
