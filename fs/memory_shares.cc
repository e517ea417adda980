// SPDX-License-Identifier: Apache-2.0
#include "fs/memory_shares.h"

#include "store/base/error.h"

namespace varve {

void share_memory(RepositoryOptions& options, std::uint64_t memory_bytes) {
  VARVE_CHECK(memory_bytes >= kLeastMemoryBytes);
  const auto percent = [memory_bytes](std::uint64_t share) { return memory_bytes / 100 * share; };
  options.dirty_limit_bytes = percent(16);
  options.dirty_stall_bytes = percent(40);
  options.store.object_cache_bytes = percent(20);
  options.node_cache_bytes = percent(15);
}

}  // namespace varve
