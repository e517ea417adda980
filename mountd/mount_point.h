// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace varve {

/// `path` made absolute from the working directory, symbolic links resolved in all but its last
/// component: a link planted there is not followed, and a mount whose daemon is gone is not asked.
/// UserError(ENOENT) when a directory above it is missing.
std::string absolute_mount_point(const std::string& path);

/// Refuses a place that cannot take a mount, with UserError: missing (ENOENT), no directory or a
/// symbolic link (ENOTDIR), a mount already (EBUSY), inside the store or above it (EINVAL), not
/// writable for an unprivileged user (EACCES). Changes nothing.
void check_mount_point(const std::string& path, const std::string& store);

/// One line of /proc/self/mountinfo that is a mount of ours.
struct KernelMount {
  std::string mount_point;
  std::string source;  ///< "varve#VOLUME"
};
/// The kernel's mounts of type fuse.varve, in order of mounting.
std::vector<KernelMount> kernel_mounts();

/// The kernel's topmost mount of ours at the directory; none if there is none.
std::optional<KernelMount> kernel_mount_at(const std::string& mount_point);

/// True for a FUSE mount whose daemon is gone. Waits for the answer of one that is not.
bool is_dead_mount(const std::string& mount_point);

/// Detaches every mount of ours at the directory whose daemon is gone. True if there was one.
/// UserError when that is refused.
bool clear_dead_mounts(const std::string& mount_point);

/// Detaches a mount whose daemon is gone: umount2 for root, else `fusermount3 -u -z`. UserError
/// when that is refused.
void detach_stale_mount(const std::string& mount_point);

}  // namespace varve
