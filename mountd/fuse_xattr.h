// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "mountd/fuse_library.h"

namespace varve::fuse {

// The answers about extended attributes, for fuse_operations().
void setxattr(fuse_req_t request, fuse_ino_t ino, const char* name, const char* value,
              std::size_t size, int flags);
void getxattr(fuse_req_t request, fuse_ino_t ino, const char* name, std::size_t size);
void listxattr(fuse_req_t request, fuse_ino_t ino, std::size_t size);
void removexattr(fuse_req_t request, fuse_ino_t ino, const char* name);

}  // namespace varve::fuse
