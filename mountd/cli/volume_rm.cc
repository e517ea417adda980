// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

int run_volume_rm(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  return for_each_argument(invocation, [&](const std::string& name) {
    const Json removed = service.call("DELETE", "/v1/volumes/" + percent_encode(name));
    print_line(removed["Name"].get<std::string>());
  });
}

}  // namespace

const Command kVolumeRm{
    "volume",
    "rm",
    "VOLUME...",
    "Remove a volume",
    "The volume goes to the trash: 'volume restore' brings it back, 'volume purge' removes it for\n"
    "good. A volume that is mounted, protected or has snapshots is refused. Prints the names.",
    {},
    1,
    static_cast<std::size_t>(-1),
    run_volume_rm};

}  // namespace varve::cli
