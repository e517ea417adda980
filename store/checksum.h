// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "store/base/bytes.h"

namespace varve {

/// XXH3-64 of `bytes`: finds torn and flipped bytes in headers and payloads before they are
/// decoded. It does not name content (digest.h does) and is no defence against an adversary.
std::uint64_t checksum_of(ByteView bytes);
/// The same with a seed, so that equal bytes in another place or file differ.
std::uint64_t checksum_of(ByteView bytes, std::uint64_t seed);

}  // namespace varve
