// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

int run_rollback(const Invocation& invocation) {
  std::string volume = invocation.arguments[0], snapshot;
  const std::size_t at = volume.find('@');
  if (at != std::string::npos && invocation.arguments.size() == 1) {
    snapshot = volume.substr(at + 1);
    volume.resize(at);
  } else if (at == std::string::npos && invocation.arguments.size() == 2) {
    snapshot = invocation.arguments[1];
    // VOLUME VOLUME@SNAPSHOT is clear too, if both name the same volume.
    if (snapshot.compare(0, volume.size() + 1, volume + "@") == 0)
      snapshot.erase(0, volume.size() + 1);
  } else {
    throw UsageError("write 'varve rollback VOLUME@SNAPSHOT' or 'varve rollback VOLUME SNAPSHOT'");
  }
  Service service(invocation, Absent::kFail);
  const Json before = service.call("POST", "/v1/volumes/" + percent_encode(volume) + "/rollback",
                                   {{"snapshot", snapshot}});
  print_line(before["Name"].get<std::string>());
  return kOk;
}

}  // namespace

const Command kRollback{
    "",
    "rollback",
    "VOLUME@SNAPSHOT",
    "Bring a volume back to a snapshot",
    "The present state is kept as a snapshot first, and later snapshots stay. A mounted volume\n"
    "changes under the programs that use it. Prints the name of the snapshot taken first.",
    {},
    1,
    2,
    run_rollback};

}  // namespace varve::cli
