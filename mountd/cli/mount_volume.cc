// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/mount_volume.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>

#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/daemon.h"
#include "mountd/life_lock.h"
#include "mountd/mount_options.h"
#include "mountd/mount_point.h"
#include "mountd/store_location.h"
#include "store/base/disk.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

/// How long a killed daemon may take to die.
constexpr std::chrono::seconds kDyingWait{2};

/// True if the store's daemon serves a mount at the directory.
bool is_served(Service& service, const std::string& mount_point) {
  const std::optional<Json> mounts = service.ask_daemon("/v1/mounts");
  return mounts && std::any_of(mounts->begin(), mounts->end(), [&](const Json& mount) {
           return mount["mount_point"].get<std::string>() == mount_point;
         });
}

/// Takes away what a daemon that was killed has left at the mount point. One that is being killed
/// may still answer, so a mount of ours that nobody seems to serve is given time to die.
void clear_stale_mount(Service& service, const std::string& mount_point) {
  const auto give_up = std::chrono::steady_clock::now() + kDyingWait;
  while (kernel_mount_at(mount_point)) {
    if (clear_dead_mounts(mount_point)) {
      print_warning("the daemon of " + mount_point +
                    " was gone; the stale mount is detached and the volume is mounted again");
    } else if (is_served(service, mount_point) || std::chrono::steady_clock::now() >= give_up) {
      return;  // the check of the mount point says what it is
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

int serve_in_foreground(const std::string& store, const MountRequest& request) {
  refuse_if_served(store,
                   " already; mount without --foreground, or end it first (varve daemon stop)");
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
  Service service(chosen);
  clear_stale_mount(service, request.mount_point);
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
  service.require_daemon(kIdleExitSeconds);
  service.call("POST", "/v1/mounts",
               {{"target", request.target},
                {"mount_point", request.mount_point},
                {"options", call.options}});
  return kOk;
}

}  // namespace varve::cli
