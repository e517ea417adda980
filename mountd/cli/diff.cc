// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

constexpr std::array kDiffOptions{
    Option{0, "json", nullptr, "Print JSON"},
};

std::string line_of(const Json& change) {
  const std::string word = change["change"], path = escaped(json_path(change, "path"));
  if (word == "added") return "A " + path;
  if (word == "removed") return "D " + path;
  if (word == "modified") return "M " + path;
  return "R " + escaped(json_path(change, "old_path")) + " -> " + path;
}

int run_diff(const Invocation& invocation) {
  const std::string& before = invocation.arguments[0];
  std::string after = invocation.arguments.back();
  if (invocation.arguments.size() == 1) {
    const std::size_t at = before.find('@');
    if (at == std::string::npos)
      throw UsageError(
          "one argument must be VOLUME@SNAPSHOT, to compare with the volume's present "
          "state; else give two");
    after = before.substr(0, at);
  }
  Service service(invocation, Absent::kFail);
  const Json reply = service.call(
      "GET", "/v1/diff?before=" + percent_encode(before) + "&after=" + percent_encode(after));
  if (invocation.flag("json")) {
    print_json(reply["changes"]);
  } else {
    for (const Json& change : reply["changes"]) print_line(line_of(change));
  }
  return kOk;
}

}  // namespace

const Command kDiff{
    "",
    "diff",
    "BEFORE [AFTER]",
    "List the paths that differ between two states",
    "Each side is VOLUME@SNAPSHOT or VOLUME (its present state, which AFTER is unless given).\n"
    "Lines begin with A (added), D (removed), M (modified) or R (renamed: OLD -> NEW).",
    kDiffOptions,
    1,
    2,
    run_diff};

}  // namespace varve::cli
