// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/template.h"

namespace varve::cli {
namespace {

constexpr std::array kVolumeInspectOptions{
    Option{'f', "format", "TEMPLATE", "Print each volume by a template, such as {{.Labels.size}}"},
};

int run_volume_inspect(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  const auto format = invocation.value("format");
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  const int status = for_each_argument(invocation, [&](const std::string& name) {
    const Json volume = service.call("GET", "/v1/volumes/" + percent_encode(name));
    if (format) return print_line(render_template(*format, volume));
    list.push_back(ordered(volume, {"Name", "Driver", "Mountpoint", "Labels"}));
  });
  if (!format) print_json(list);
  return status;
}

}  // namespace

const Command kVolumeInspect{"volume",
                             "inspect",
                             "VOLUME...",
                             "Return low-level information on a volume",
                             "Prints a JSON array with one object for each volume.",
                             kVolumeInspectOptions,
                             1,
                             static_cast<std::size_t>(-1),
                             run_volume_inspect};

}  // namespace varve::cli
