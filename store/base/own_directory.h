// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace varve {

/// Refuses a directory that somebody else could have prepared, or could change under us: a symbolic
/// link, one of another user than this process's and root, or one that everybody may write to.
/// UserError(EPERM) with the remedy. What does not exist is nobody's.
void expect_own_directory(const std::string& path);

}  // namespace varve
