// SPDX-License-Identifier: Apache-2.0
#include "mountd/memory_limit.h"

#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include "fs/memory_shares.h"
#include "mountd/size_text.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr int kPools = 2;
/// Contents of objects are below it: they come from a pool that keeps its pages.
constexpr int kOwnMappingBytes = 1 << 20;
constexpr int kPoolSlackBytes = 8 << 20;

/// A number without a unit is bytes here, and not GB as in parse_size.
std::uint64_t parse_bytes(const std::string& text) {
  const bool bare = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  return parse_size(bare ? text + "B" : text);
}

}  // namespace

std::uint64_t memory_limit_bytes() {
  const char* variable = std::getenv("VARVE_MEMORY");
  if (variable == nullptr || *variable == '\0') return kDefaultMemoryBytes;
  const std::string text = variable;
  std::uint64_t bytes = 0;
  try {
    bytes = parse_bytes(text);
  } catch (const UserError&) {
    throw UserError(EINVAL, "VARVE_MEMORY is '" + text +
                                "', which is no size; give it bytes, such as 402653184, or a unit, "
                                "such as 384M");
  }
  if (bytes < kLeastMemoryBytes)
    throw UserError(EINVAL, "VARVE_MEMORY is '" + text +
                                "', less than a daemon works with; give it 64M or more");
  return bytes;
}

RepositoryOptions within_memory_limit(RepositoryOptions options) {
  share_memory(options, memory_limit_bytes());
  return options;
}

void keep_memory_small() {
#ifdef M_ARENA_MAX
  ::mallopt(M_ARENA_MAX, kPools);
  ::mallopt(M_MMAP_THRESHOLD, kOwnMappingBytes);
  ::mallopt(M_TRIM_THRESHOLD, kPoolSlackBytes);
#endif
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size_pages = 0;
  std::uint64_t resident_pages = 0;
  if (!(file >> size_pages >> resident_pages)) return 0;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace varve
