// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "snapshot/record.h"

namespace varve {

/// Data operations work on regular files: EISDIR for a directory, EINVAL for the rest.
void require_regular(const InodeRecord& inode);

}  // namespace varve
