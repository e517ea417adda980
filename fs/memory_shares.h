// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "fs/repository.h"

namespace varve {

/// The least that a repository works well with, and the default, in bytes.
inline constexpr std::uint64_t kLeastMemoryBytes = 64ull << 20;
inline constexpr std::uint64_t kDefaultMemoryBytes = 384ull << 20;

/// Shares `memory_bytes` (kLeastMemoryBytes at least) out to what a repository keeps in memory:
/// changes that no commit holds yet, contents, nodes. A quarter is left for what is bounded
/// otherwise: the index, requests under way, the allocator.
void share_memory(RepositoryOptions& options, std::uint64_t memory_bytes);

}  // namespace varve
