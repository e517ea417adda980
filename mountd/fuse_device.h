// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "mountd/fuse_mount.h"

namespace varve {

/// A descriptor of /dev/fuse that the kernel connects with one mount.
struct FuseDevice {
  int descriptor = -1;       ///< owned by the caller
  std::uint64_t device = 0;  ///< st_dev of everything in the mount
};

/// Refuses a mount point that is missing, no directory, a symbolic link or a mount already with
/// UserError. Changes nothing.
void check_mount_directory(const std::string& path);

/// mount(2) for root, fusermount3 for others. `options` has fsname and an absolute mount point.
/// Nobody answers requests yet, so do not touch the mount. UserError with the reason otherwise.
FuseDevice mount_fuse(const FuseMount::Options& options);

/// True if `path` leads into the mount with st_dev `device` now. Asks nothing of the daemon.
bool is_mounted_at(const std::string& path, std::uint64_t device);

/// How the mount point is taken away.
enum class Detach { kIfIdle, kLazily, kAborting };
/// umount2(2) for root, fusermount3 for others. UserError(EBUSY) when kIfIdle finds users.
/// kAborting detaches and ends the connection as far as this user is allowed to.
void unmount_fuse(const std::string& path, std::uint64_t device, Detach how);

/// Ends the connection of the mount through fusectl; false if that is not mounted or refused.
bool abort_connection(std::uint64_t device);

}  // namespace varve
