// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "store/digest.h"

namespace varve {

/// Which objects were found whole lately: written by this process, or read back. Whoever only wants
/// to know that an object can be read need not look again. Forgets when it likes: objects share
/// slots by digest, and the later one wins.
///
/// Safe to share between threads; takes no lock.
class SoundObjects {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kLately{10};

  SoundObjects() : slots_(std::make_unique<Slots>()) {}

  /// How far somebody has looked.
  enum class Found : std::uint8_t { kByChecksum, kByDigest };

  void note(const Digest& digest, Found found, Clock::time_point now = Clock::now());
  bool noted_lately(const Digest& digest, Clock::time_point now = Clock::now()) const;
  /// True if its content was found to have this digest, at any time that is remembered.
  bool digested(const Digest& digest) const;
  /// The object was found damaged.
  void forget(const Digest& digest);

 private:
  /// Half a megabyte; chunks of 8 GiB.
  static constexpr std::size_t kSlots = 1 << 16;
  /// 39 bits of the digest that do not choose the slot, one that says by digest, and the second of
  /// the note in 24; 0 if unused. Digests that agree in 55 bits are taken for one: nothing is
  /// believed of the other but that its checksums are enough.
  using Slots = std::array<std::atomic<std::uint64_t>, kSlots>;

  std::unique_ptr<Slots> slots_;
};

}  // namespace varve
