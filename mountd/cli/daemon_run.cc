// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/daemon.h"
#include "mountd/store_location.h"
#include "store/base/disk.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr unsigned kMaxIdleSeconds = 1'000'000;

constexpr std::array kDaemonRunOptions{
    Option{'f', "foreground", nullptr, "Stay in the foreground and log to standard error"},
    Option{0, "idle-exit", "SECONDS", "End after so long without mounts and requests; 0: never"},
    Option{0, "ready-fd", "FD", ""},
};

/// As a process of `start_daemon`: nothing but the ready socket is kept of what was inherited.
void serve_detached(DaemonOptions& options, int ready_socket) {
  ::close_range(static_cast<unsigned>(ready_socket) + 1, ~0u, 0);
  options.ready_socket = ready_socket;
  options.log_to_file = true;
  run_daemon(options);
}

int run_daemon_run(const Invocation& invocation) {
  DaemonOptions options;
  options.store = store_location(invocation.store);
  options.idle_exit_seconds = invocation.number("idle-exit", kMaxIdleSeconds).value_or(0);
  if (const auto fd = invocation.number("ready-fd", 1023)) {
    serve_detached(options, static_cast<int>(*fd));
    return kOk;
  }
  if (HttpClient::connect(control_socket_path(options.store)))
    throw UserError(EBUSY, "a daemon serves store " + options.store + " already");
  if (!invocation.flag("foreground")) {
    Service(invocation).require_daemon(options.idle_exit_seconds);
    return kOk;
  }
  if (!Store::exists(Disk::host(), options.store))
    make_store_parent(options.store, store_is_default(invocation.store));
  run_daemon(options);
  return kOk;
}

}  // namespace

const Command kDaemonRun{
    "daemon",
    "run",
    "",
    "Start the daemon of a store",
    "'varve mount' starts one when none runs; this command is for service managers and for those "
    "who\n"
    "want it to stay. Returns when the daemon is ready, or serves until it ends with --foreground.",
    kDaemonRunOptions,
    0,
    0,
    run_daemon_run};

}  // namespace varve::cli
