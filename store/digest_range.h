// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "store/digest.h"

namespace varve {

/// One of `passes` equal parts of all digests, in order, for work that goes over all objects with
/// bounded memory: digests are uniform, so each part has about as many objects. A value.
class DigestRange {
 public:
  /// How many parts there must be for `objects` if one may have about `objects_per_pass`.
  static std::uint64_t passes_for(std::uint64_t objects, std::uint64_t objects_per_pass) {
    return objects / objects_per_pass + 1;
  }

  DigestRange(std::uint64_t pass, std::uint64_t passes)
      : first_(kPrefixCount * pass / passes), last_(kPrefixCount * (pass + 1) / passes) {}

  bool contains(const Digest& digest) const {
    const std::uint64_t prefix = prefix_of_digest(digest);
    return first_ <= prefix && prefix < last_;
  }
  /// True if all digests from this one on are behind the part.
  bool ends_before(const Digest& digest) const { return prefix_of_digest(digest) >= last_; }
  bool is_first() const { return first_ == 0; }
  /// The greatest digest in front of the part; none for the first.
  std::optional<Digest> before() const {
    if (first_ == 0) return std::nullopt;
    Digest out;
    out.bytes.fill(std::byte{0xff});
    out.bytes[0] = static_cast<std::byte>((first_ - 1) >> 8);
    out.bytes[1] = static_cast<std::byte>((first_ - 1) & 0xff);
    return out;
  }

 private:
  /// Digests are split by their first two bytes.
  static constexpr std::uint64_t kPrefixCount = 1 << 16;
  static std::uint64_t prefix_of_digest(const Digest& digest) {
    return std::to_integer<std::uint64_t>(digest.bytes[0]) << 8 |
           std::to_integer<std::uint64_t>(digest.bytes[1]);
  }

  std::uint64_t first_;
  std::uint64_t last_;
};

}  // namespace varve
