// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace varve {

/// A keeper that is a service of its own (docs/decisions/0011-services.md): listens at
/// `socket_path`, holds the mounts of the daemon of the store at `store` (absolute), which a
/// service manager starts again when it has ended, and gives them to the next one that connects.
/// What it holds is stored with the service manager, too, so that mounts outlive the keeper and the
/// daemon dying together.
///
/// Ends the mounts when eight daemons in a row could not take them over, or none came for ten
/// minutes: programs get errors instead of waiting for ever. Runs until a signal ends the process.
/// Throws when it cannot listen.
[[noreturn]] void run_standing_keeper(const std::string& store, const std::string& socket_path);

}  // namespace varve
