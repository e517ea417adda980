// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

constexpr std::array kSnapshotCreateOptions{
    Option{0, "name", "NAME", "The snapshot's name (default: a generated one)"},
    Option{'v', "volume", "VOLUME", "The volume to take it of, as well as the argument"},
    Option{'f', "force", nullptr, "Accepted for habit: a volume in use is never a hindrance"},
    Option{0, "label", "NAME=VALUE", "Add a label (may be repeated)"},
};

int run_snapshot_create(const Invocation& invocation) {
  std::optional<std::string> volume = invocation.value("volume"), name = invocation.value("name");
  if (!invocation.arguments.empty()) {
    const std::string& argument = invocation.arguments[0];
    const std::size_t at = argument.find('@');
    if (volume || (name && at != std::string::npos))
      throw UsageError("the volume or the name is given twice, with an option and as an argument");
    volume = argument.substr(0, at);
    if (at != std::string::npos) name = argument.substr(at + 1);
  }
  if (!volume) throw UsageError("no volume is given; usage: varve snapshot create VOLUME[@NAME]");
  Json request{{"volume", *volume}};
  if (name) request["name"] = *name;
  if (const auto labels = invocation.labels(); !labels.empty()) request["labels"] = labels;
  Service service(invocation, Absent::kFail);
  const Json snapshot = service.call("POST", "/v1/snapshots", request);
  if (snapshot.contains("Warning")) print_warning(snapshot["Warning"].get<std::string>());
  print_line(snapshot["Name"].get<std::string>());
  return kOk;
}

}  // namespace

const Command kSnapshotCreate{
    "snapshot",
    "create",
    "[VOLUME[@NAME]]",
    "Take a snapshot of a volume",
    "It holds every write that finished before the command, mounted or not, and is durable when\n"
    "the command ends. Prints the name.",
    kSnapshotCreateOptions,
    0,
    1,
    run_snapshot_create};

}  // namespace varve::cli
