// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace varve {

/// True if a process shows the file system that is mounted at `mount_point` at another place too:
/// a container has it. Reads the mount tables of all processes.
bool is_mounted_elsewhere(const std::string& mount_point);

/// Makes the directory `path` and those above it up to `base`, which must exist, where nobody else
/// may plant anything: mode 0700, and refused (UserError(EPERM)) if one is a link or somebody
/// else's. Existing ones of our own are fine.
void make_own_directories(const std::string& base, const std::string& path);

/// Takes the empty directories in `path` away, then it and those above it up to `base`, which
/// stays. What is not empty, mounted or not ours stays: no failure is one.
void remove_empty_directories(const std::string& base, const std::string& path);

}  // namespace varve
