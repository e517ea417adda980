// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "store/digest.h"

namespace varve {

/// Whether a read may wait for a disk or a network.
enum class Wait { kAllowed, kRefused };

/// Thrown by a read with Wait::kRefused whose object is not in memory. The caller leaves the gate,
/// reads (or probes) `digest` with Wait::kAllowed, which puts it into the cache, and tries again.
/// Not an Error: nothing failed.
struct WouldBlock {
  Digest digest;
  bool probed = false;  ///< Objects::probe was asked, not read
};

}  // namespace varve
