// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace varve {

/// Runs `work` in a thread with a table of descriptors of its own, in which only the standard three
/// are open, waits for it, and throws what it threw.
///
/// For calls that wait for our own mount inside the kernel. A thread in such a call cannot be
/// killed before the mount answers; if it shared our table, kill -9 would leave /dev/fuse open in
/// it, nobody would ever answer, and the process would stay until somebody aborts the connection.
/// This way the kernel closes /dev/fuse with the other threads, and the call ends.
///
/// `work` must open the descriptors it needs and must not use any other: where a number of ours
/// would be, there is nothing or something else.
void run_with_own_descriptors(const std::function<void()>& work);

}  // namespace varve
