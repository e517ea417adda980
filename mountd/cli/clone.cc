// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/cli/volume_request.h"

namespace varve::cli {
namespace {

constexpr std::array kCloneOptions{
    Option{0, "name", "NAME", "The new volume's name, as well as the argument"},
    kSizeOption,
    kLabelOption,
    kVolumeOption,
    kProtectOption,
};

int run_clone(const Invocation& invocation) {
  std::optional<std::string> name = invocation.value("name");
  if (invocation.arguments.size() > 1) {
    if (name && *name != invocation.arguments[1])
      throw UsageError("the name is given twice, with --name and as an argument");
    name = invocation.arguments[1];
  }
  Json request = volume_request(invocation);
  request["source"] = invocation.arguments[0];
  if (name) request["name"] = *name;
  Service service(invocation);
  print_line(service.call("POST", "/v1/volumes", request)["Name"].get<std::string>());
  return kOk;
}

}  // namespace

const Command kClone{
    "",
    "clone",
    "VOLUME[@SNAPSHOT] [NAME]",
    "Create a writable volume from a volume or snapshot",
    "Nothing is copied: both share what is equal. Of a VOLUME its present state is taken (as a\n"
    "snapshot that stays). The size is that of the source unless given. Prints the name.",
    kCloneOptions,
    1,
    2,
    run_clone};

}  // namespace varve::cli
