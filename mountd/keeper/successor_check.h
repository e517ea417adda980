// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace varve {

/// Runs the program at `path` to see whether it can take mounts over from this one. UserError with
/// a sentence if it is no program, does not start, or speaks another version of the keeper's
/// protocol. Takes up to 10 seconds.
void check_successor(const std::string& path);

/// The other side of it: says which version of the protocol this program speaks. Returns the exit
/// status.
int answer_successor_check();

}  // namespace varve
