// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mountd/unix_socket.h"

namespace varve {

/// Held by each keeper of the store at `store` for its life, shared with others. StoreError.
Descriptor hold_keeper_lock(const std::string& store);

/// True while a keeper of the store lives: its daemon serves, ends, or comes back in a moment.
bool has_keeper(const std::string& store);

/// UserError(EBUSY) while a keeper lives: the daemon comes back in a moment, and nobody else may
/// open the store before, because what the journal says of unanswered requests would be lost.
void refuse_if_kept(const std::string& store);

}  // namespace varve
