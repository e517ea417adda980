// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>

#include "mountd/cli/age.h"
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

constexpr std::array kVolumePurgeOptions{
    Option{0, "older-than", "AGE", "Only what was removed longer ago: 90s, 30m, 12h, 7d or 4w"},
};

int run_volume_purge(const Invocation& invocation) {
  Json request = Json::object();
  if (const auto age = invocation.value("older-than")) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::int64_t seconds =
        std::chrono::duration_cast<std::chrono::seconds>(now).count() - parse_age_seconds(*age);
    request["trashed_before_ns"] = seconds > 0 ? seconds * 1'000'000'000 : 0;
  }
  Service service(invocation, Absent::kFail);
  const Json reply = service.call("DELETE", "/v1/trash", request);
  print_line("purged " + std::to_string(reply["purged"].get<std::uint64_t>()) + " volume(s)");
  return kOk;
}

}  // namespace

const Command kVolumePurge{"volume",
                           "purge",
                           "",
                           "Remove the volumes in the trash for good",
                           "Their space comes back in the background. This cannot be undone.",
                           kVolumePurgeOptions,
                           0,
                           0,
                           run_volume_purge};

}  // namespace varve::cli
