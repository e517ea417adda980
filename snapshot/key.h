// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "store/base/bytes.h"

namespace varve {

/// An inode number: stable over remount, snapshot and clone. 1 is the root of a volume, 0 is
/// reserved for what belongs to the whole head.
enum class Ino : std::uint64_t {};
inline constexpr Ino kHeadIno{0};
inline constexpr Ino kRootIno{1};
constexpr std::uint64_t to_integer(Ino ino) { return static_cast<std::uint64_t>(ino); }

/// What a record of the tree is; the order is the order inside one inode.
enum class Kind : std::uint8_t {
  kHeadInfo = 0,  ///< ino 0, sub 0: counters and limits of the head
  kOrphan = 1,    ///< ino 0, sub = ino: unlinked and still open, or being freed
  kInode = 2,     ///< sub 0
  kXattr = 3,     ///< sub = name_slot of the attribute's name
  kDirent = 4,    ///< sub = cookie: name_slot of the entry's name
  kRegion = 5,    ///< sub = offset / kRegionBytes
  kLinkref = 6,   ///< sub = name_slot made from parent and name; only for files with several names
};

inline constexpr std::uint64_t kRegionBytes = 128 * 1024;
inline constexpr std::uint64_t kBlockBytes = 16 * 1024;
inline constexpr std::size_t kBlocksPerRegion = kRegionBytes / kBlockBytes;

/// Orders the records of a tree: by inode, then kind, then `sub`.
struct Key {
  Ino ino{};
  Kind kind{};
  std::uint64_t sub = 0;

  friend auto operator<=>(const Key&, const Key&) = default;
  friend bool operator==(const Key&, const Key&) = default;

  static constexpr std::size_t kEncodedBytes = 17;
  /// ino (big-endian u64) | kind (u8) | sub (big-endian u64): memcmp order is key order.
  std::array<std::byte, kEncodedBytes> encode() const;
  /// `bytes` must be kEncodedBytes long; an unknown kind throws CorruptionError.
  static Key decode(ByteView bytes);
};

/// Names of one directory (or attribute names of one inode) hash to 55 bits; the low 8 bits number
/// names with the same hash, lowest free first, so a slot never moves while its name lives. Always
/// in [2^8, 2^63): a valid readdir cookie, and 0, 1, 2 stay free for the dots.
std::uint64_t name_slot_base(std::string_view name);
inline constexpr std::uint64_t kNameSlots = 256;

}  // namespace varve
