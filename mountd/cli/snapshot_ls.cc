// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <map>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/template.h"
#include "mountd/size_text.h"

namespace varve::cli {
namespace {

constexpr std::array kSnapshotLsOptions{
    Option{'q', "quiet", nullptr, "Print names only"},
    Option{'f', "filter", "FILTER", "volume=NAME, label=NAME[=VALUE] or name=PART"},
    Option{0, "format", "TEMPLATE", "Print each snapshot by a template, such as {{.Name}}"},
    Option{0, "json", nullptr, "Print JSON"},
};

bool passes(const Json& snapshot, const Filter& filter) {
  if (filter.name == "volume") return snapshot["Volume"] == filter.value;
  if (filter.name == "name")
    return snapshot["Name"].get<std::string>().find(filter.value) != std::string::npos;
  if (filter.name == "label") {
    const std::size_t equals = filter.value.find('=');
    const Json& labels = snapshot["Labels"];
    const auto label = labels.find(filter.value.substr(0, equals));
    return label != labels.end() &&
           (equals == std::string::npos || *label == filter.value.substr(equals + 1));
  }
  throw UsageError("filter " + filter.name + " is unknown; there are volume, label and name");
}

/// Names as other commands take them: with the volume when the bare name is not unique.
void print_names(const Json& shown, const Json& all) {
  std::map<std::string, int> counts;
  for (const Json& snapshot : all) ++counts[snapshot["Name"].get<std::string>()];
  for (const Json& snapshot : shown) {
    const std::string name = snapshot["Name"];
    print_line(counts[name] == 1 ? name : snapshot["Volume"].get<std::string>() + "@" + name);
  }
}

int run_snapshot_ls(const Invocation& invocation) {
  const std::vector<Filter> wanted = filters(invocation);
  for (const Filter& filter : wanted)
    passes({{"Name", ""}, {"Volume", ""}, {"Labels", Json::object()}}, filter);
  Service service(invocation);
  if (!invocation.arguments.empty())  // an unknown volume is an error, not an empty list
    service.call("GET", "/v1/volumes/" + percent_encode(invocation.arguments[0]));
  const Json all = service.call("GET", "/v1/snapshots");
  Json shown = Json::array();
  for (const Json& snapshot : all) {
    bool wants = invocation.arguments.empty() || snapshot["Volume"] == invocation.arguments[0];
    for (const Filter& filter : wanted) wants = passes(snapshot, filter) && wants;
    if (wants) shown.push_back(snapshot);
  }
  if (const auto format = invocation.value("format")) {
    for (const Json& snapshot : shown) print_line(render_template(*format, snapshot));
  } else if (invocation.flag("json")) {
    print_json(shown);
  } else if (invocation.flag("quiet")) {
    print_names(shown, all);
  } else {
    Table table({"Snapshot Name", "Volume", "Size"});
    for (const Json& snapshot : shown)
      table.add({snapshot["Name"], snapshot["Volume"],
                 quota_text(snapshot["Size"].get<std::uint64_t>())});
    table.print();
  }
  return kOk;
}

}  // namespace

const Command kSnapshotLs{
    "snapshot", "ls", "[VOLUME]",     "List snapshots, the oldest first", "", kSnapshotLsOptions,
    0,          1,    run_snapshot_ls};

}  // namespace varve::cli
