// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "fs/transaction.h"

namespace varve {

/// Links of one inode, at most.
inline constexpr std::uint32_t kMaxLinks = (1u << 31) - 1;

/// Throws PosixError unless `name` can be an entry's name: EINVAL if it is empty or holds '/' or a
/// zero byte, ENAMETOOLONG above kMaxNameBytes. The dots pass.
void check_name(std::string_view name);
bool is_dot(std::string_view name);

/// A name in a directory, and where its record is.
struct Entry {
  std::uint64_t cookie = 0;
  DirentRecord record;
};

/// The directory; PosixError ESTALE if absent, ENOTDIR if it is none.
InodeRecord directory_inode(Transaction& transaction, Ino ino);

/// The entry `name` of `directory`, if there is one.
std::optional<Entry> find_entry(Transaction& transaction, Ino directory, std::string_view name);
/// Adds an entry, which must not exist, and returns its cookie. Does not touch inodes.
std::uint64_t insert_entry(Transaction& transaction, Ino directory, const DirentRecord& record);
/// The entry shows another inode from now on.
void replace_entry(Transaction& transaction, Ino directory, const Entry& entry, Ino ino,
                   std::uint32_t type);
void erase_entry(Transaction& transaction, Ino directory, std::uint64_t cookie);

/// Where a name of an inode is.
struct Place {
  Ino parent{};
  std::uint64_t cookie = 0;
  std::string_view name;
};

/// Notes that `inode` has a name more at `place`: as its parent while it is the only one, else by
/// linkref records. Changes `inode` (not its link count); the caller sets it.
void add_place(Transaction& transaction, Ino ino, InodeRecord& inode, const Place& place);
void remove_place(Transaction& transaction, Ino ino, InodeRecord& inode, const Place& place);

}  // namespace varve
