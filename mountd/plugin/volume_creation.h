// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "fs/repository.h"
#include "mountd/live_mounts.h"
#include "mountd/plugin/volume_options.h"

namespace varve {

/// The snapshot to which an ephemeral volume goes back at its first use; its own, not to be seen as
/// one of the user's.
inline constexpr const char* kInitialSnapshot = "initial";

/// Makes the volume `name` (empty: a generated name) as `options` say: empty, or a clone of its
/// source, whose dirty pages are flushed first when it is mounted. `mounts` may be null. UserError
/// with a sentence; then there is no new volume. Of a clone, mode, uid and gid of the root change
/// when given; else the daemon's user owns a new root.
VolumeInfo create_volume_as(Repository& repository, LiveMounts* mounts, const std::string& name,
                            const VolumeOptions& options);

/// Throws UserError(EEXIST) that names the first difference, if the volume there is was made with
/// other options than `wanted` says. What `wanted` leaves open may be anything.
void expect_same_options(const VolumeInfo& info, const VolumeOptions& wanted);

}  // namespace varve
