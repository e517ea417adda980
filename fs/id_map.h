// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

/// How stored user (or group) ids are shown: ranges "STORED:SHOWN:COUNT". An empty map shows every
/// id as it is stored. A value; const methods may be called from many threads.
class IdMap {
 public:
  struct Range {
    std::uint32_t stored = 0;
    std::uint32_t shown = 0;
    std::uint32_t count = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };
  /// What an id outside of every range is shown as: nobody, as the kernel shows it.
  static constexpr std::uint32_t kOverflowId = 65534;

  IdMap() = default;
  /// Ranges joined by '+', such as "0:100000:65536+70000:0:1"; COUNT may be left out and is 1 then.
  /// UserError(EINVAL) that quotes `text`: not of this form, an id above 2^32-2, ranges that
  /// overlap, or more than 64 of them.
  static IdMap parse(std::string_view text);

  bool empty() const { return ranges_.empty(); }
  std::uint32_t shown(std::uint32_t stored) const;
  /// None when no stored id is shown so.
  std::optional<std::uint32_t> stored(std::uint32_t shown) const;
  /// As parse() takes it.
  std::string text() const;

  friend bool operator==(const IdMap&, const IdMap&) = default;

 private:
  std::vector<Range> ranges_;
};

/// Who owns the files of a mount in the eyes of those who use it. What is stored stays as it is.
struct IdMapping {
  IdMap users;
  IdMap groups;
  /// Every file is shown as this user's and group's and new files are stored as theirs; chown is
  /// accepted and changes nothing. Excludes the maps.
  struct Squash {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    friend bool operator==(const Squash&, const Squash&) = default;
  };
  std::optional<Squash> squash;

  bool empty() const { return users.empty() && groups.empty() && !squash; }
  friend bool operator==(const IdMapping&, const IdMapping&) = default;
};

/// "UID" or "UID:GID"; without GID it is the same number. UserError(EINVAL) that quotes `text`.
IdMapping::Squash parse_squash(std::string_view text);

}  // namespace varve
