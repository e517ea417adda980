// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fs/transaction.h"
#include "fs/volume.h"

namespace varve {

/// What stat(2) shows of an inode.
Attributes attributes_of(Ino ino, const InodeRecord& inode);

/// Clears setuid, and setgid when the group may execute (without that bit setgid once meant
/// mandatory locking and Linux keeps it).
void clear_setid(InodeRecord& inode);

/// Content or owner of the file change: drops security.capability, and the setuid and setgid bits
/// if `setid`. Changes `inode`; the caller sets it. Cheap when there is nothing to drop.
void drop_privileges(Transaction& transaction, Ino ino, InodeRecord& inode, bool setid);

/// Makes the root directory of a new volume in a head whose tree is empty, and its counters.
void make_root(Transaction& transaction, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
               Time now);

}  // namespace varve
