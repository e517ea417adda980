// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

int run_snapshot_rm(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  return for_each_argument(invocation, [&](const std::string& reference) {
    service.call("DELETE", "/v1/snapshots/" + percent_encode(reference));
    print_line(reference);
  });
}

}  // namespace

const Command kSnapshotRm{
    "snapshot",
    "rm",
    "SNAPSHOT...",
    "Remove a snapshot",
    "A SNAPSHOT is VOLUME@NAME, or NAME if only one volume has it. Returns at once, the space "
    "comes\n"
    "back in the background. Volumes made from it stay. This cannot be undone. Prints the names.",
    {},
    1,
    static_cast<std::size_t>(-1),
    run_snapshot_rm};

}  // namespace varve::cli
