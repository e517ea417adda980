// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/volume_request.h"

namespace varve::cli {
namespace {

constexpr std::array kVolumeCreateOptions{
    Option{0, "name", "NAME", "The volume's name, as well as the argument"},
    Option{0, "snapshot", "SNAPSHOT", "Start with this snapshot's files: NAME or VOLUME@NAME"},
    kSizeOption,
    kLabelOption,
    kVolumeOption,
    kProtectOption,
    kModeOption,
    kUidOption,
    kGidOption,
};

int run_volume_create(const Invocation& invocation) {
  std::optional<std::string> name = invocation.value("name");
  if (!invocation.arguments.empty()) {
    if (name && *name != invocation.arguments[0])
      throw UsageError("the name is given twice, with --name and as an argument");
    name = invocation.arguments[0];
  }
  Json request = volume_request(invocation);
  if (name) request["name"] = *name;
  if (const auto snapshot = invocation.value("snapshot")) request["source"] = *snapshot;
  Service service(invocation);
  print_line(service.call("POST", "/v1/volumes", request)["Name"].get<std::string>());
  return kOk;
}

}  // namespace

const Command kVolumeCreate{
    "volume",
    "create",
    "[NAME]",
    "Create a volume",
    "Without a name a long random one is made. The size is a limit, not space taken: 10 GB unless\n"
    "given; with --snapshot that of the snapshot. Prints the name.",
    kVolumeCreateOptions,
    0,
    1,
    run_volume_create};

}  // namespace varve::cli
