// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "fs/id_map.h"
#include "fs/volume.h"

namespace varve {

/// `volume` with owners, and the ids in POSIX ACLs, shown through `mapping`. What is stored stays
/// as it is, so one snapshot can be shown in several ways at once. A change that would store an id
/// that the map does not show is PosixError: EINVAL for chown, EOVERFLOW for a new file, as on the
/// kernel's id-mapped mounts. As safe to share between threads as `volume` is, which it owns a
/// share of. Returns `volume` itself when the mapping is empty.
std::shared_ptr<Volume> with_mapping(std::shared_ptr<Volume> volume, const IdMapping& mapping);

}  // namespace varve
