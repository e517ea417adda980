// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/size_text.h"

namespace varve::cli {
namespace {

constexpr std::array kSnapshotRmOptions{
    Option{0, "dry-run", nullptr, "Remove nothing; print the bytes that would come back"},
};

int show_space(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  const Json space =
      service.call("POST", "/v1/removal-space", {{"snapshots", invocation.arguments}});
  const std::uint64_t bytes = space["bytes"], objects = space["objects"], kept = space["kept"];
  print_line("would free " + std::to_string(bytes) + " bytes (" + size_text(bytes) + ") in " +
             std::to_string(objects) + " objects");
  if (kept != 0)
    print_line(std::to_string(kept) +
               " snapshot(s) would stay, hidden, while several volumes or snapshots go back to it");
  return kOk;
}

int run_snapshot_rm(const Invocation& invocation) {
  if (invocation.flag("dry-run")) return show_space(invocation);
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
    "back in the background. Volumes made from it stay. This cannot be undone. Prints the names.\n"
    "With --dry-run the figure is of all SNAPSHOTs together, both copies of metadata included.",
    kSnapshotRmOptions,
    1,
    static_cast<std::size_t>(-1),
    run_snapshot_rm};

}  // namespace varve::cli
