// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "store/base/lru_cache.h"
#include "store/location.h"
#include "store/segment_set.h"

namespace varve {

/// Objects that are stored uncompressed, of which parts are read: where each lies and the checksums
/// of its parts, which this process computed from the verified whole. So a short read costs a short
/// read of the segment, and is checked all the same. Safe to share between threads.
class RawParts {
 public:
  /// What has a checksum of its own, in bytes.
  static constexpr std::size_t kPartBytes = 4096;

  /// Forgets what was not used for longest above `capacity_bytes`; 0 keeps nothing.
  explicit RawParts(std::size_t capacity_bytes) : objects_(capacity_bytes) {}

  /// `content` is all of the object, verified, and its payload at `location`.
  void note(const Digest& digest, const Location& location, ByteView content);

  /// As Objects::read_part. Empty if nothing is known of the object, or its bytes are not (or no
  /// longer) what they were, which is then forgotten; `out` has any content in that case. Throws
  /// StoreError, ENOENT if the segment is gone.
  std::optional<std::size_t> read(const SegmentSet& segments, const Digest& digest,
                                  std::uint32_t offset, std::span<std::byte> out);

  void forget(const Digest& digest) { objects_.erase(digest); }

 private:
  struct Object {
    Location location;
    std::uint32_t bytes = 0;
    std::vector<std::uint64_t> checksums;  ///< one a part
  };
  static bool is_sound(const Object& object, std::size_t first_part, ByteView parts);
  static bool read_parts(const SegmentSet& segments, const Object& object, std::uint64_t offset,
                         std::span<std::byte> out);

  LruCache<Digest, Object> objects_;
};

}  // namespace varve
