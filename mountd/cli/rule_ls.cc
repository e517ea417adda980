// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

constexpr std::array kRuleLsOptions{
    Option{0, "json", nullptr, "Print JSON"},
};

int run_rule_ls(const Invocation& invocation) {
  Service service(invocation);
  const Json rules = service.call("GET", "/v1/rules");
  if (invocation.flag("json")) {
    print_json(rules);
    return kOk;
  }
  Table table({"PATTERN", "OPTIONS"});
  for (const Json& rule : rules) {
    std::string options;
    for (const auto& [name, value] : rule["Options"].items())
      options += (options.empty() ? "" : " ") + name + "=" + value.get<std::string>();
    table.add({escaped(rule["Pattern"].get<std::string>()), escaped(options)});
  }
  table.print();
  return kOk;
}

}  // namespace

const Command kRuleLs{
    "rule",     "ls",           "", "List the rules in the order in which they are asked",
    "",         kRuleLsOptions, 0,  0,
    run_rule_ls};

}  // namespace varve::cli
