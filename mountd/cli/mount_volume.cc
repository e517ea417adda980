// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/mount_volume.h"

#include <unistd.h>

#include <cerrno>

#include "mountd/cli/exit_status.h"
#include "mountd/cli/service.h"
#include "mountd/daemon.h"
#include "mountd/mount_options.h"
#include "mountd/mount_point.h"
#include "mountd/store_location.h"
#include "store/base/disk.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

/// How long a daemon that a mount started stays after the last unmount.
constexpr unsigned kIdleExitSeconds = 30;

int serve_in_foreground(const std::string& store, const MountRequest& request) {
  if (HttpClient::connect(control_socket_path(store)))
    throw UserError(EBUSY,
                    "a daemon serves store " + store +
                        " already; mount without --foreground, or end it first (varve daemon "
                        "stop)");
  DaemonOptions options;
  options.store = store;
  options.mount = request;
  run_daemon(options);
  return kOk;
}

}  // namespace

int mount_volume(const Invocation& invocation, const MountCall& call) {
  MountRequest request;
  parse_mount_options(call.options, request.options);
  Invocation chosen = invocation;
  if (!chosen.store) chosen.store = request.options.store;
  const std::string store = store_location(chosen.store);
  // Everything that can be refused is, before a daemon is started for it.
  request.target = call.target;
  request.mount_point = absolute_mount_point(call.mount_point);
  check_mount_point(request.mount_point, store);
  if (::access("/dev/fuse", F_OK) != 0)
    throw UserError(ENODEV,
                    "there is no /dev/fuse; load the kernel module (modprobe fuse), or give "
                    "the container the device (--device /dev/fuse)");
  if (!Store::exists(Disk::host(), store)) {
    if (!request.options.create)
      throw UserError(ENOENT, "there is no volume " + call.target + ": there is no store at " +
                                  store + "; 'varve volume create' makes both");
    make_store_parent(store, store_is_default(chosen.store));
  }
  if (call.foreground) return serve_in_foreground(store, request);
  Service service(chosen);
  service.require_daemon(kIdleExitSeconds);
  service.call("POST", "/v1/mounts",
               {{"target", request.target},
                {"mount_point", request.mount_point},
                {"options", call.options}});
  return kOk;
}

}  // namespace varve::cli
