// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/keeper/keeper_lock.h"
#include "mountd/store_location.h"
#include "mountd/unix_socket.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr int kEndWaitMs = 120'000;

constexpr std::array kDaemonStopOptions{
    Option{'f', "force", nullptr, "Detach mounts that are in use; their programs get errors"},
};

int run_daemon_stop(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  if (!service.connect_to_running())
    throw UserError(ENOENT, "no daemon runs for store " + service.store());
  Json request = Json::object();
  if (invocation.flag("force")) request["busy"] = "detach";
  const Json about = service.call("GET", "/v1/status");
  // Held before the daemon is told to end, so that its number cannot be another process's.
  const Descriptor process(
      static_cast<int>(::syscall(SYS_pidfd_open, about["daemon"]["pid"].get<int>(), 0)));
  service.call("POST", "/v1/stop", request);
  pollfd entry{process.get(), POLLIN, 0};
  if (process && ::poll(&entry, 1, kEndWaitMs) == 0)
    throw StoreError(ETIMEDOUT,
                     "the daemon of store " + service.store() + " was told to end and still runs");
  const std::string socket = control_socket_path(service.store());
  // Its own socket goes with it.
  if (::access(socket.c_str(), F_OK) == 0 && !has_keeper(service.store()))
    print_warning("the service manager listens on " + socket +
                  " and starts a daemon for the next command; 'systemctl stop varve.socket' ends "
                  "that");
  return kOk;
}

}  // namespace

const Command kDaemonStop{
    "daemon",
    "stop",
    "",
    "Unmount everything and end the daemon of a store",
    "Refused when a mount is in use, unless --force is given. Returns when the daemon has ended.",
    kDaemonStopOptions,
    0,
    0,
    run_daemon_stop};

}  // namespace varve::cli
