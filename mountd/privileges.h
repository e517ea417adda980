// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace varve {

/// What a daemon gives up before it makes its first thread; for good, and for every program that it
/// starts. Root keeps what mounting needs and nothing else: SYS_ADMIN (to
/// mount and unmount), DAC_READ_SEARCH (to reach mount points in other users' directories). No
/// program it starts gains rights (no_new_privs). Other users have no rights to give up, and need
/// fusermount3's, so for them only the limits are set: no core dumps, which would hold file
/// contents, and as many descriptors as they may have. Never throws: what the kernel does not let
/// go is logged.
void drop_privileges();

/// The capabilities that drop_privileges keeps of those that root has, as a bit mask.
std::uint64_t kept_capabilities();

}  // namespace varve
