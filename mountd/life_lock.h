// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mountd/unix_socket.h"

namespace varve {

// A file in a store that tells whether a process of some kind lives: each of them holds a shared
// lock of it for its life, which ends with the process however that ends. Others only ask, so that
// two who ask do not find each other.

/// The lock of the file at `path`, which is made if it is missing; duplicates of the descriptor
/// share it. StoreError.
Descriptor hold_life_lock(const std::string& path);

/// True while another descriptor than ours holds it. False if there is no such file.
bool is_life_lock_held(const std::string& path);

/// Held by the daemon of the store at `store` from before it opens an existing store until its end.
Descriptor hold_daemon_lock(const std::string& store);

/// True while a daemon of the store begins, serves or ends. A control socket that takes connections
/// says less: a service manager may listen there, and starts a daemon for whoever connects.
bool has_daemon(const std::string& store);

/// UserError(EBUSY) while a daemon has the store; `remedy` says what to do.
void refuse_if_served(const std::string& store, const std::string& remedy);

}  // namespace varve
