// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "fs/repository.h"

namespace varve {

/// How much memory the daemon of a store may use, in bytes: VARVE_MEMORY (a number, or one with a
/// unit such as 512M or 1GiB), or 384 MiB. UserError(EINVAL) that shows the variable when it is no
/// size or less than 64 MiB.
std::uint64_t memory_limit_bytes();

/// `options` of a repository that keeps to memory_limit_bytes().
RepositoryOptions within_memory_limit(RepositoryOptions options);

/// Has the allocator give freed memory back, and keep few pools of it: for a process that serves
/// for long. Before it starts threads.
void keep_memory_small();

/// Memory of this process that is in use, in bytes; 0 if the system does not say.
std::uint64_t resident_bytes();

}  // namespace varve
