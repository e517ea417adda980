// SPDX-License-Identifier: Apache-2.0
#include "store/bloom.h"

#include <algorithm>

namespace varve {

namespace {
constexpr std::uint64_t kBitsPerDigest = 12;
constexpr std::uint64_t kLineBits = 512;
}  // namespace

BloomFilter::BloomFilter(std::uint64_t capacity)
    : capacity_(capacity),
      lines_(std::max<std::uint64_t>(1, (capacity * kBitsPerDigest + kLineBits - 1) / kLineBits)),
      words_(new std::atomic<std::uint64_t>[lines_ * kLineWords] {}) {}

BloomFilter::Probe BloomFilter::probe_of(const Digest& digest) const {
  // Not the first word: std::hash and the index's order use that one.
  std::uint64_t line;
  std::uint64_t bits;
  std::memcpy(&line, digest.bytes.data() + 8, sizeof line);
  std::memcpy(&bits, digest.bytes.data() + 16, sizeof bits);
  return Probe{line % lines_ * kLineWords, bits};
}

void BloomFilter::insert(const Digest& digest) {
  Probe probe = probe_of(digest);
  for (int i = 0; i < kProbes; ++i, probe.bits >>= 9) {
    words_[probe.first_word + (probe.bits >> 6 & 7)].fetch_or(1ull << (probe.bits & 63),
                                                              std::memory_order_relaxed);
  }
  inserted_.fetch_add(1, std::memory_order_relaxed);
}

bool BloomFilter::may_contain(const Digest& digest) const {
  Probe probe = probe_of(digest);
  for (int i = 0; i < kProbes; ++i, probe.bits >>= 9) {
    const std::uint64_t word =
        words_[probe.first_word + (probe.bits >> 6 & 7)].load(std::memory_order_relaxed);
    if ((word >> (probe.bits & 63) & 1) == 0) return false;
  }
  return true;
}

}  // namespace varve
