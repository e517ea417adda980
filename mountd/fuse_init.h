// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mountd/fuse_connection.h"
#include "mountd/fuse_library.h"

namespace varve {

/// The connection's INIT: takes of the kernel's offer what makes calls unnecessary, and notes in
/// `connection` what was agreed on.
void agree(FuseConnection& connection, fuse_conn_info& offer);

}  // namespace varve
