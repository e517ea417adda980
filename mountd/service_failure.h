// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mountd/service_manager.h"

namespace varve {

/// For a daemon that cannot begin: answers every request on the passed sockets with the failure (of
/// the errno `code`), in the form of the control API and in that of the plugin protocol, for a
/// second. Without it, who connected would wait for a daemon that does not come. Returns at once if
/// nothing was passed.
void answer_with_failure(PassedSockets& passed, int code, const std::string& sentence);

}  // namespace varve
