// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "store/base/bytes.h"

namespace varve {

/// What libfuse does not hand on of a request as the kernel wrote it. Only for the plain transport;
/// with io_uring nobody sees the raw bytes.
struct WireRequest {
  bool known = false;  ///< the rest was read from a request
  std::uint32_t opcode = 0;
  std::uint64_t unique = 0;  ///< the kernel's number of the request, the same when it comes again
  bool comes_again = false;  ///< the kernel has sent it before, and has no answer
  bool is_write = false;
  bool from_page_cache = false;   ///< a WRITE of dirty pages
  bool kills_setid = false;       ///< a WRITE by someone without CAP_FSETID
  bool acl_kills_setgid = false;  ///< a SETXATTR of an ACL by someone outside the group
};

/// Reads the header of one request; `bytes` is what one read of /dev/fuse gave. `long_setxattr`:
/// FUSE_SETXATTR_EXT was agreed on.
WireRequest parse_wire(ByteView bytes, bool long_setxattr);

/// Notifications as they are written to /dev/fuse.
Bytes notify_resend();     ///< requests that were not answered are sent again (Linux 6.9)
Bytes notify_new_epoch();  ///< every cached name is looked up again (Linux 6.16)
Bytes notify_invalid_inode(std::uint64_t ino);  ///< attributes, ACLs and all pages
/// The name is looked up again before it is used (before Linux 6.2: it is dropped, and what is
/// mounted below it with it). The kernel waits for lookups and listings under way in `parent`.
Bytes notify_expired_name(std::uint64_t parent, std::string_view name);

/// The protocol's minor version that has notify_new_epoch.
inline constexpr std::uint32_t kEpochProtocolMinor = 44;

}  // namespace varve
