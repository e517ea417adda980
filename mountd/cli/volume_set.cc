// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/service.h"
#include "mountd/size_text.h"

namespace varve::cli {
namespace {

constexpr std::array kVolumeSetOptions{
    Option{'s', "size", "SIZE", "Change the limit of the volume's size; 0: none"},
    Option{0, "label", "NAME=VALUE", "Set a label (may be repeated)"},
    Option{0, "remove-label", "NAME", "Remove a label (may be repeated)"},
    Option{'o', "option", "NAME=VALUE",
           "Change an option of container engines; acts from the next mount on (may be repeated)"},
    Option{0, "protect", nullptr, "Refuse 'volume rm'"},
    Option{0, "no-protect", nullptr, "Allow 'volume rm' again"},
};

int run_volume_set(const Invocation& invocation) {
  Json change = Json::object();
  if (const auto size = invocation.value("size")) change["size"] = parse_size(*size);
  if (const auto labels = invocation.labels(); !labels.empty()) change["labels"] = labels;
  if (const auto names = invocation.values("remove-label"); !names.empty())
    change["remove_labels"] = names;
  if (const auto options = invocation.labels("option"); !options.empty())
    change["options"] = options;
  const bool protect = invocation.flag("protect"), unprotect = invocation.flag("no-protect");
  if (protect && unprotect) throw UsageError("--protect and --no-protect exclude each other");
  if (protect || unprotect) change["protect"] = protect;
  if (change.empty()) throw UsageError("nothing to change; see 'varve volume set --help'");
  Service service(invocation, Absent::kFail);
  service.call("PATCH", "/v1/volumes/" + percent_encode(invocation.arguments[0]), change);
  return kOk;
}

}  // namespace

const Command kVolumeSet{"volume",
                         "set",
                         "VOLUME",
                         "Change a volume's size, labels, options or protection",
                         "Works on mounted volumes too.",
                         kVolumeSetOptions,
                         1,
                         1,
                         run_volume_set};

}  // namespace varve::cli
