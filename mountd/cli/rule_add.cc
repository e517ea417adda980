// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/volume_request.h"

namespace varve::cli {
namespace {

constexpr std::array kRuleAddOptions{
    Option{0, "from", "SOURCE", "Start such volumes as clones of this snapshot or volume"},
    kVolumeOption,
};

int run_rule_add(const Invocation& invocation) {
  auto options = invocation.labels("option");
  if (const auto source = invocation.value("from")) options["from"] = *source;
  Service service(invocation);
  const Json rule{{"pattern", invocation.arguments[0]}, {"options", options}};
  print_line(service.call("POST", "/v1/rules", rule)["Pattern"].get<std::string>());
  return kOk;
}

}  // namespace

const Command kRuleAdd{
    "rule",
    "add",
    "PATTERN",
    "Give new volumes options by their names",
    "PATTERN is as in the shell (* ? [...]); quote it. A new volume gets the options of the first\n"
    "rule that fits its name, where its own creation says nothing. Volumes that exist stay as "
    "they\n"
    "are. Prints the pattern.",
    kRuleAddOptions,
    1,
    1,
    run_rule_add};

}  // namespace varve::cli
