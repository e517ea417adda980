// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "fs/acl.h"
#include "fs/transaction.h"

namespace varve {

inline constexpr std::string_view kCapabilitiesName = "security.capability";

/// An extended attribute, and where its record is.
struct FoundXattr {
  std::uint64_t slot = 0;
  XattrRecord record;
};

/// Cheap when the inode has none.
std::optional<FoundXattr> find_xattr(Transaction& transaction, Ino ino, const InodeRecord& inode,
                                     std::string_view name);
/// Adds or replaces. Changes the flags of `inode`; the caller sets it. ENOSPC when the names of all
/// would exceed 64 KiB.
void put_xattr(Transaction& transaction, Ino ino, InodeRecord& inode, std::string_view name,
               ByteView value);
/// Removes if present, and says whether it was. Changes the flags of `inode`.
bool erase_xattr(Transaction& transaction, Ino ino, InodeRecord& inode, std::string_view name);

/// The blob's bytes; WouldBlock when it is an object that is not in memory.
Bytes blob_bytes(Transaction& transaction, const Blob& blob);

/// The ACL stored under `name`, kAccessAclName or kDefaultAclName.
std::optional<Acl> find_acl(Transaction& transaction, Ino ino, const InodeRecord& inode,
                            std::string_view name);

}  // namespace varve
