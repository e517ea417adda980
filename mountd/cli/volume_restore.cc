// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

int run_volume_restore(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  return for_each_argument(invocation, [&](const std::string& name) {
    const Json volume =
        service.call("POST", "/v1/trash/" + percent_encode(name) + "/restore", Json::object());
    print_line(volume["Name"].get<std::string>());
  });
}

}  // namespace

const Command kVolumeRestore{
    "volume",
    "restore",
    "VOLUME...",
    "Bring a removed volume back from the trash",
    "Of several removed volumes of one name the newest is taken. Prints the names.",
    {},
    1,
    static_cast<std::size_t>(-1),
    run_volume_restore};

}  // namespace varve::cli
