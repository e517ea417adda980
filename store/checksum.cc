// SPDX-License-Identifier: Apache-2.0
#include "store/checksum.h"

#include <xxhash.h>

namespace varve {

std::uint64_t checksum_of(ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::uint64_t checksum_of(ByteView bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace varve
