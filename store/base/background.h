// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace varve {

/// The calling thread, and threads that it starts, give way to those that answer somebody: batch
/// scheduling and nice 5. Does what the system permits.
void work_in_background() noexcept;

}  // namespace varve
