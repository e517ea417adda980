// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/template.h"

namespace varve::cli {
namespace {

constexpr std::array kSnapshotInspectOptions{
    Option{'f', "format", "TEMPLATE", "Print each snapshot by a template, such as {{.Volume}}"},
};

int run_snapshot_inspect(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  const auto format = invocation.value("format");
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  const int status = for_each_argument(invocation, [&](const std::string& reference) {
    const Json snapshot = service.call("GET", "/v1/snapshots/" + percent_encode(reference));
    if (format) return print_line(render_template(*format, snapshot));
    list.push_back(ordered(snapshot, {"Name", "Volume", "Size"}));
  });
  if (!format) print_json(list);
  return status;
}

}  // namespace

const Command kSnapshotInspect{"snapshot",
                               "inspect",
                               "SNAPSHOT...",
                               "Return low-level information on a snapshot",
                               "A SNAPSHOT is VOLUME@NAME, or NAME if only one volume has it.\n"
                               "Prints a JSON array with one object for each.",
                               kSnapshotInspectOptions,
                               1,
                               static_cast<std::size_t>(-1),
                               run_snapshot_inspect};

}  // namespace varve::cli
