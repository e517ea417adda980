// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "mountd/cli/commands.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/mount_point.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr std::array kUmountOptions{
    Option{'l', "lazy", nullptr, "Detach now, end when the last program has left"},
    Option{'f', "force", nullptr, "End now; programs that use the files get errors"},
};

bool is_path(const std::string& where) {
  return where.find('/') != std::string::npos || where == "." || where == "..";
}

/// The kernel's mount that `where` means; none if there is none of ours.
std::optional<KernelMount> kernel_mount(const std::string& where) {
  std::optional<KernelMount> found;
  for (const KernelMount& mount : kernel_mounts())
    if ((is_path(where) ? mount.mount_point : mount.source) ==
        (is_path(where) ? where : "varve#" + where))
      found = mount;
  return found;
}

/// A mount that nobody serves any more is cleaned up here. False if there is none.
bool clean_stale(const std::string& where) {
  const auto mount = kernel_mount(where);
  if (!mount) return false;
  if (!is_dead_mount(mount->mount_point))
    throw UserError(
        EBUSY, mount->mount_point + " is served by another store's daemon; name it with --store");
  detach_stale_mount(mount->mount_point);
  print_line("the daemon of " + mount->mount_point + " was gone; the stale mount is detached");
  return true;
}

void unmount_one(Service& service, const std::string& where, const std::string& busy) {
  try {
    if (!service.connect()) throw UserError(ENOENT, "");
    const Json mount = service.call("DELETE", "/v1/mounts", {{"where", where}, {"busy", busy}});
    if (mount["detached"].get<bool>())
      print_warning(where + " is unmounted here; programs or containers still use the files");
  } catch (const UserError& error) {
    if (error.code() != ENOENT) throw;
    if (clean_stale(where)) return;
    throw UserError(ENOENT, where + " is not mounted; 'varve status' lists the mounts");
  }
}

int run_umount(const Invocation& invocation) {
  if (invocation.flag("lazy") && invocation.flag("force"))
    throw UsageError("--lazy and --force exclude each other");
  const std::string busy = invocation.flag("lazy")    ? "detach"
                           : invocation.flag("force") ? "abort"
                                                      : "refuse";
  Service service(invocation, Absent::kFail);
  return for_each_argument(invocation, [&](const std::string& where) {
    if (is_path(where)) return unmount_one(service, absolute_mount_point(where), busy);
    try {
      unmount_one(service, where, busy);
    } catch (const UserError& error) {
      // No volume of that name is mounted: it may be a directory here.
      if (error.code() != ENOENT || ::access(where.c_str(), F_OK) != 0) throw;
      unmount_one(service, absolute_mount_point(where), busy);
    }
  });
}

}  // namespace

const Command kUmount{"",
                      "umount",
                      "DIR|VOLUME[@SNAPSHOT]...",
                      "Unmount",
                      "What programs wrote is in the volume when the command returns. A mount in "
                      "use is refused unless\n"
                      "--lazy or --force is given. The mount of a daemon that is gone is detached.",
                      kUmountOptions,
                      1,
                      static_cast<std::size_t>(-1),
                      run_umount};

}  // namespace varve::cli
