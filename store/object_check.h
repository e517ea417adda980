// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/location.h"

namespace varve {

/// An object with references, as the index has it.
struct LiveObject {
  Digest digest;
  std::uint64_t references = 0;
  Placement placement;  ///< primary absent: lost

  /// What the object takes in the segments, all copies.
  std::uint64_t stored_bytes() const {
    return std::uint64_t{placement.stored_bytes} *
           ((placement.primary.present() ? 1u : 0u) + (placement.mirror.present() ? 1u : 0u));
  }
};

/// What the disk holds of one object.
enum class ObjectHealth : std::uint8_t {
  kSound,  ///< every copy is what it should be
  kWeak,   ///< a copy is damaged, another one serves
  kBad,    ///< no copy serves
  kGone,   ///< it has no references any more
};

/// Content found for an object of which a copy, or all of them, are damaged.
struct RescuedObject {
  Digest digest;
  ObjectKind kind = ObjectKind::kData;
  Bytes content;  ///< verified
};

/// Something in the store directory, besides objects, that is not what it should be.
struct FileFinding {
  enum class Part : std::uint8_t { kSuperblock, kJournal, kIndex, kSegment };
  Part part{};
  std::string what;     ///< a sentence that names the file
  bool mended = false;  ///< it was written anew and is right now
};

/// The view of a store for those who look for damage. Safe to share between threads; nothing here
/// waits for commits, and commits do not wait for it.
class ObjectCheck {
 public:
  virtual ~ObjectCheck() = default;

  /// Up to `limit` objects with references whose digest is above `after` (empty: from the first),
  /// ascending. Objects of commits before the call are there; those that are born meanwhile may be.
  virtual std::vector<LiveObject> live_after(const std::optional<Digest>& after,
                                             std::size_t limit) = 0;
  /// The object if it has references.
  virtual std::optional<LiveObject> live(const Digest& digest) = 0;
  /// Reads every copy from the disk, past all caches, and remembers what is damaged: a put of its
  /// content heals it. Throws StoreError when it cannot look (no memory, no descriptors).
  virtual ObjectHealth check(const Digest& digest) = 0;
  /// Objects of which a copy is known to be damaged and that nobody has healed since, ascending.
  virtual std::vector<Digest> damaged() const = 0;
  /// Looks for the content of damaged objects: in their other copies, in memory, and in records of
  /// the same digest anywhere in the segments. What is not found is left out.
  virtual std::vector<RescuedObject> rescue(const std::vector<Digest>& digests) = 0;
  /// Checks the headers and footers of the segments that are not being written, and writes those
  /// anew that are damaged.
  virtual std::vector<FileFinding> check_segments() = 0;
  /// Compares the index with what the segments' footers say, and its totals with its rows. While
  /// nothing changes. Calls `problem` with sentences; returns the objects compared.
  virtual std::uint64_t compare_index(const std::function<void(const std::string&)>& problem) = 0;
  /// Checks the form of the index file. A damaged one is rebuilt by the next open.
  virtual std::vector<FileFinding> check_index() = 0;
};

}  // namespace varve
