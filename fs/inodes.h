// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "fs/transaction.h"
#include "fs/volume.h"

namespace varve {

/// What the maker of a new inode asks for.
struct NewInode {
  std::uint32_t mode = 0;  ///< type and permission bits
  std::uint64_t rdev = 0;
  Bytes content{};  ///< a symlink's target
  Caller caller{};
  Time now{};
};

/// An inode as it goes into a transaction.
struct MadeInode {
  Ino ino{};
  InodeRecord record;
};

/// Makes an inode without a name: owner and group by the caller and the directory's setgid bit,
/// permissions by the directory's default ACL or else the umask, ACLs inherited. Counts it in the
/// head's figures (EDQUOT at the limit of inodes). Link count 1, directories 2; the caller adds a
/// place and sets the record.
MadeInode make_inode(Transaction& transaction, Ino directory, const InodeRecord& directory_inode,
                     const NewInode& request);

/// The record that says: the inode has no name and lives while it is in use.
constexpr Key orphan_key(Ino ino) { return {kHeadIno, Kind::kOrphan, to_integer(ino)}; }

}  // namespace varve
