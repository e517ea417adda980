// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace varve {

/// The keeper itself, at `socket`: holds what the daemon at the other end gives it, starts a
/// successor when that daemon has died, and hands everything over. Serves no request and touches no
/// file but its lock. Ends with its daemon. Returns the exit status.
int run_keeper(int socket);

}  // namespace varve
