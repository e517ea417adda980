// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/mount_volume.h"

namespace varve::cli {
namespace {

constexpr std::array kMountOptions{
    Option{'o', "options", "OPTIONS", "Mount options, separated by commas (may be repeated)"},
    Option{'r', "read-only", nullptr, "Mount read-only, the same as -o ro"},
    Option{0, "transport", "WAY", "How requests come from the kernel: plain (default) or uring"},
    Option{0, "create", nullptr, "Create the volume if there is none of that name"},
    Option{'f', "foreground", nullptr, "Serve the mount in this process until it is unmounted"},
};

int run_mount(const Invocation& invocation) {
  MountCall call;
  call.target = invocation.arguments[0];
  call.mount_point = invocation.arguments[1];
  call.foreground = invocation.flag("foreground");
  for (const std::string& text : invocation.values("options")) call.add_options(text);
  if (invocation.flag("read-only")) call.add_options("ro");
  if (invocation.flag("create")) call.add_options("create");
  if (const auto transport = invocation.value("transport"))
    call.add_options("transport=" + *transport);
  return mount_volume(invocation, call);
}

}  // namespace

const Command kMount{
    "",
    "mount",
    "VOLUME[@SNAPSHOT] DIR",
    "Mount a volume, or a snapshot read-only",
    "Starts the store's daemon when none runs. The mount options are:\n"
    "  ro, rw                 read-only, or read and write\n"
    "  allow_other, private   other users may enter, or not (default: root's mounts allow it)\n"
    "  nosuid, nodev, noexec, noatime   as in mount(8)\n"
    "  noxattr                no extended attributes and ACLs\n"
    "  acl, noacl             POSIX ACLs are kept and checked (default), or refused\n"
    "  snapshots, nosnapshots   the volume's snapshots are at DIR/.snapshots (default), or not\n"
    "  writeback              the kernel collects small writes\n"
    "  create                 create the volume if there is none of that name\n"
    "  transport=plain|uring  how requests come from the kernel\n"
    "  uidmap=MAP, gidmap=MAP show owners through a map: STORED:SHOWN:COUNT, joined by '+'\n"
    "  squash=UID[:GID]       show and store one owner for all files\n"
    "  max_threads=N          threads that answer the kernel at most\n"
    "  fsname=NAME            the first column of df(1)\n"
    "  store=PATH             the same as --store",
    kMountOptions,
    2,
    2,
    run_mount};

}  // namespace varve::cli
