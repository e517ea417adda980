// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "snapshot/key.h"
#include "snapshot/ptr.h"

namespace varve {

/// Values up to this many bytes stay in their record; longer ones become an object at the commit.
inline constexpr std::size_t kInlineBytes = 1024;

/// Nanoseconds since the epoch as POSIX has them.
struct Time {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;  ///< < 1'000'000'000
  friend auto operator<=>(const Time&, const Time&) = default;
};

/// Bytes that are either in the record or an object. In a tree inline bytes are at most
/// kInlineBytes; in an overlay they may be longer.
struct Blob {
  std::variant<Bytes, Ptr> value;
  bool is_inline() const { return std::holds_alternative<Bytes>(value); }
  const Bytes& bytes() const { return std::get<Bytes>(value); }
  const Ptr& ptr() const { return std::get<Ptr>(value); }
  std::size_t size() const { return is_inline() ? bytes().size() : ptr().data_bytes; }
};

/// Kind::kInode.
struct InodeRecord {
  std::uint32_t mode = 0;  ///< type and permission bits, as in stat
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t nlink = 0;
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;  ///< bytes of data held (logical, holes left out), for st_blocks
  std::uint64_t rdev = 0;
  Time atime, mtime, ctime, btime;
  std::uint32_t flags = 0;        ///< InodeFlags
  std::uint32_t generation = 0;   ///< reserved
  Ino parent{};                   ///< a directory's parent, or a file's while it has one name
  std::uint64_t name_cookie = 0;  ///< its dirent's cookie in `parent`; 0 when linkrefs say it
  /// A symlink's target, or the whole content of a regular file with size ≤ kInlineBytes and no
  /// region record (then its size is `size`). Empty otherwise.
  Blob content{};

  Bytes encode() const;
  static InodeRecord decode(ByteView bytes);
};
struct InodeFlags {
  static constexpr std::uint32_t kHasXattr = 1;  ///< at least one xattr record exists
  static constexpr std::uint32_t kHasAcl = 2;    ///< an access ACL beyond the mode exists
  static constexpr std::uint32_t kHasCaps = 4;   ///< security.capability exists
  static constexpr std::uint32_t kLinkrefs = 8;  ///< names are listed by linkref records
};

/// Kind::kDirent. `type` is the file type bits of the mode (S_IFMT).
struct DirentRecord {
  Ino ino{};
  std::uint32_t type = 0;
  std::string name;
  Bytes encode() const;
  static DirentRecord decode(ByteView bytes);
};

/// Kind::kXattr.
struct XattrRecord {
  std::string name;
  Blob value;
  Bytes encode() const;
  static XattrRecord decode(ByteView bytes);
};

/// Kind::kLinkref: one name of a file that has several.
struct LinkrefRecord {
  Ino parent{};
  std::uint64_t cookie = 0;
  Bytes encode() const;
  static LinkrefRecord decode(ByteView bytes);
};

/// Kind::kRegion: 128 KiB of a file. Block i is a hole if bit i of `holes` is set, else
/// blocks[i] if present, else its part of `base` if present, else a hole. Bytes past an object's
/// data_bytes read as zeros. The record is absent when the whole region is a hole.
struct RegionRecord {
  std::optional<Ptr> base;
  std::array<std::optional<Ptr>, kBlocksPerRegion> blocks;
  std::uint8_t holes = 0;
  Bytes encode() const;
  static RegionRecord decode(ByteView bytes);
  /// Bytes that are not holes, counted in whole blocks.
  std::uint64_t allocated() const;
};

/// Kind::kHeadInfo.
struct HeadInfoRecord {
  std::uint64_t next_ino = 2;
  std::uint64_t inodes = 0;         ///< in use, orphans included
  std::uint64_t logical_bytes = 0;  ///< sum of InodeRecord::allocated
  std::uint64_t quota_bytes = 0;    ///< 0: no limit
  std::uint64_t quota_inodes = 0;   ///< 0: no limit
  Bytes encode() const;
  static HeadInfoRecord decode(ByteView bytes);
};

/// Calls `visit` for every pointer inside the encoded record `value` of `kind`. This and Node are
/// the only places that know where pointers are. Throws CorruptionError on malformed bytes.
void visit_pointers(Kind kind, ByteView value, const std::function<void(const Ptr&)>& visit);

/// True for kinds whose records can hold pointers (cheap test before visit_pointers).
bool may_hold_pointers(Kind kind);

}  // namespace varve
