// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "store/digest.h"

namespace varve {

/// A set of digests that may claim to hold one that it does not (about 1 in 100 at capacity) and
/// never denies one that it holds. All bits of a digest lie in one cache line. Safe to share
/// between threads without a lock.
class BloomFilter {
 public:
  /// 12 bits for each of `capacity` digests.
  explicit BloomFilter(std::uint64_t capacity);

  void insert(const Digest& digest);
  bool may_contain(const Digest& digest) const;

  std::uint64_t capacity() const { return capacity_; }
  /// How often insert was called.
  std::uint64_t inserted() const { return inserted_.load(std::memory_order_relaxed); }
  std::uint64_t memory_bytes() const { return lines_ * kLineWords * sizeof(std::uint64_t); }

 private:
  static constexpr std::uint64_t kLineWords = 8;
  static constexpr int kProbes = 6;

  /// The digest is uniform already: two words choose the line and the bits in it.
  struct Probe {
    std::uint64_t first_word;
    std::uint64_t bits;
  };
  Probe probe_of(const Digest& digest) const;

  const std::uint64_t capacity_;
  const std::uint64_t lines_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
  std::atomic<std::uint64_t> inserted_{0};
};

}  // namespace varve
