// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

int run_rule_rm(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  return for_each_argument(invocation, [&](const std::string& pattern) {
    service.call("DELETE", "/v1/rules", {{"pattern", pattern}});
    print_line(pattern);
  });
}

}  // namespace

const Command kRuleRm{"rule",
                      "rm",
                      "PATTERN...",
                      "Remove rules",
                      "Volumes stay as they are.",
                      {},
                      1,
                      static_cast<std::size_t>(-1),
                      run_rule_rm};

}  // namespace varve::cli
