// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mountd/fuse_library.h"

namespace varve {

/// The answers to every request: decode, one call of the Volume, reply. The session's user data
/// must be a FuseConnection.
fuse_lowlevel_ops fuse_operations();

}  // namespace varve
