// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "store/base/would_block.h"
#include "store/digest.h"

namespace varve {

/// What an object holds. Metadata (tree nodes, catalog rows) is kept in a second copy.
enum class ObjectKind : std::uint8_t { kData = 0, kMetadata = 1 };

/// How hard the compression of an object tries.
enum class Effort : std::uint8_t { kUsual, kThorough };

/// Largest content of one object, in bytes.
inline constexpr std::size_t kMaxObjectBytes = 128 * 1024;

/// Content-addressed, immutable objects, for reading. Safe to share between threads.
class Objects {
 public:
  virtual ~Objects() = default;

  /// The whole content, verified against `digest`. With Wait::kRefused throws WouldBlock unless it
  /// is in memory. Damaged or missing: CorruptionError that names the digest.
  virtual SharedBytes read(const Digest& digest, Wait wait) = 0;

  /// Copies the content from byte `offset` on to `out`, verified, and returns how many bytes that
  /// were: fewer than `out` has at the content's end, none past it. Waits for disks, and may read
  /// less than the whole object. The errors of read; `out` has any content then.
  virtual std::size_t read_part(const Digest& digest, std::uint32_t offset,
                                std::span<std::byte> out) {
    return copy_part(*read(digest, Wait::kAllowed), offset, out);
  }

  /// Returns if the object can be read, as far as can be told for less than reading it costs: it is
  /// in memory, was read or written within the last ten minutes, or its record has the right
  /// checksum. The errors of read. With Wait::kRefused throws WouldBlock unless the answer is in
  /// memory.
  virtual void probe(const Digest& digest, Wait wait) { read(digest, wait); }

 protected:
  static std::size_t copy_part(ByteView content, std::uint32_t offset, std::span<std::byte> out) {
    if (offset >= content.size()) return 0;
    const ByteView part = content.subspan(offset, std::min(out.size(), content.size() - offset));
    std::copy(part.begin(), part.end(), out.begin());
    return part.size();
  }
};

/// The births and deaths of one commit. Nothing is visible or durable before Store::commit takes
/// the batch; a batch that is destroyed first leaves nothing but unreferenced bytes in segments.
/// put, retain and release may be called from several threads.
class ObjectsBatch {
 public:
  virtual ~ObjectsBatch() = default;

  /// Stores `content` (1 ..= kMaxObjectBytes bytes) once and counts one birth event for it. An
  /// object that is there already (also a dead one that was not reclaimed yet) is not written
  /// again, unless it is known to be damaged.
  struct Stored {
    Digest digest;
    std::uint32_t stored_bytes = 0;  ///< after compression, with the record's header
    std::uint32_t data_bytes = 0;    ///< content
  };
  virtual Stored put(ByteView content, ObjectKind kind, Effort effort) = 0;
  Stored put(ByteView content, ObjectKind kind) { return put(content, kind, Effort::kUsual); }
  /// Counts one more birth event for an object that is known to exist (put in this batch, or
  /// referenced by a pointer that is alive). Throws CorruptionError if it is not there.
  virtual Stored retain(const Digest& digest) = 0;
  /// Takes one birth event back. Every release must match one earlier put or retain, of this batch
  /// or of a committed one. Births of a batch count before its releases.
  virtual void release(const Digest& digest) = 0;
  /// Reads also what this batch has put.
  virtual SharedBytes read(const Digest& digest, Wait wait) = 0;
};

}  // namespace varve
