// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "store/base/bytes.h"

namespace varve {

inline constexpr std::string_view kAccessAclName = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAclName = "system.posix_acl_default";

/// A POSIX 1003.1e access control list, as the kernel's extended attributes (version 2) hold it.
class Acl {
 public:
  enum class Tag : std::uint16_t {
    kUserObj = 0x01,
    kUser = 0x02,
    kGroupObj = 0x04,
    kGroup = 0x08,
    kMask = 0x10,
    kOther = 0x20,
  };
  struct Entry {
    Tag tag{};
    std::uint32_t permissions = 0;    ///< 0..7
    std::uint32_t id = kUndefinedId;  ///< of kUser and kGroup
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  static constexpr std::uint32_t kUndefinedId = 0xffffffff;

  /// None for an ACL without entries (it removes what is there). PosixError(EOPNOTSUPP) for an
  /// unknown version, EINVAL for anything that is not a valid ACL.
  static std::optional<Acl> parse(ByteView value);
  Bytes serialize() const;

  /// The permission bits (0777) that show for a file with this access ACL.
  std::uint32_t permission_bits() const;
  /// True if the permission bits say all: no named entries and no mask.
  bool is_mode_only() const;
  /// chmod: owner, others, and the mask (else the owning group) take the bits of `mode`.
  void change_mode(std::uint32_t mode);
  /// A new file inherits this default ACL as its access ACL: masks it with the mode asked for and
  /// returns that mode with the permissions that remain.
  std::uint32_t inherit(std::uint32_t mode);

  const std::vector<Entry>& entries() const { return entries_; }
  /// The id of each named entry becomes `replace(is_user, id)`.
  template <class Replace>
  void replace_ids(const Replace& replace) {
    for (Entry& entry : entries_)
      if (entry.tag == Tag::kUser || entry.tag == Tag::kGroup)
        entry.id = replace(entry.tag == Tag::kUser, entry.id);
  }

 private:
  Entry* entry_of(Tag tag);
  const Entry* entry_of(Tag tag) const;
  void check_valid() const;

  std::vector<Entry> entries_;
};

}  // namespace varve
