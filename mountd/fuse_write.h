// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "mountd/fuse_library.h"

namespace varve::fuse {

/// WRITE, in the shape that libfuse wants.
void write(fuse_req_t request, fuse_ino_t ino, const char* data, std::size_t size, off_t offset,
           fuse_file_info* info);

}  // namespace varve::fuse
