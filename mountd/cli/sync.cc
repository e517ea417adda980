// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"

namespace varve::cli {
namespace {

int run_sync(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  const Json reply = service.call("POST", "/v1/sync", Json::object());
  if (!reply["complete"].get<bool>())
    print_warning(
        "the mount point of a volume cannot be reached: what programs stored through mmap "
        "there and did not sync may not be durable");
  return kOk;
}

}  // namespace

const Command kSync{"",
                    "sync",
                    "",
                    "Make everything written so far survive a power cut",
                    "sync(1) does not reach the daemon of a FUSE mount; this command does.",
                    {},
                    0,
                    0,
                    run_sync};

}  // namespace varve::cli
