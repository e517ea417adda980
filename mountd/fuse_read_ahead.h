// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace varve {

/// Has the kernel read ahead in files of the mount `device` (its st_dev) as much as four requests
/// can hold, so that several threads answer at once. A FUSE connection may only ask for less than
/// the kernel's 128 KiB, one chunk; the administrator's file in /sys takes more. Needs root;
/// without it everything stays as it is.
void raise_read_ahead(std::uint64_t device);

}  // namespace varve
