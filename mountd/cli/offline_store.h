// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mountd/cli/command.h"

namespace varve::cli {

/// The directory of the store that the command line names, for a command that opens it by itself.
/// UserError if a daemon serves it (EBUSY) or there is none (ENOENT).
std::string offline_store(const Invocation& invocation);

}  // namespace varve::cli
