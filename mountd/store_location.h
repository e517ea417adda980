// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace varve {

/// Where the store is: `given` (the --store option), else $VARVE_STORE, else /var/lib/varve for
/// root, else $XDG_DATA_HOME/varve or ~/.local/share/varve. Absolute, without symbolic links in
/// what exists of it. Throws UserError when an unprivileged user has neither variable nor a home.
std::string store_location(const std::optional<std::string>& given);

/// Makes the missing directories above the store, mode 0700, if the store is at its default place;
/// a place that was chosen must have its parent: UserError(ENOENT) otherwise, so that a mistyped
/// path makes no store.
void make_store_parent(const std::string& store, bool is_default);
/// True if neither an option nor the environment chose the store.
bool store_is_default(const std::optional<std::string>& given);

/// The files of a daemon in its store.
std::string control_socket_path(const std::string& store);
std::string daemon_log_path(const std::string& store);

}  // namespace varve
