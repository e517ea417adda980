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
  static constexpr std::chrono::seconds kLately{60};

  SoundObjects() : slots_(std::make_unique<Slots>()) {}

  void note(const Digest& digest, Clock::time_point now = Clock::now());
  bool noted_lately(const Digest& digest, Clock::time_point now = Clock::now()) const;
  /// The object was found damaged.
  void forget(const Digest& digest);

 private:
  /// Half a megabyte; chunks of 8 GiB.
  static constexpr std::size_t kSlots = 1 << 16;
  /// 40 bits of the digest that do not choose the slot, and the second of the note in 24 bits; 0 if
  /// unused. Two digests that agree in 56 bits would be taken for one: an object is then believed
  /// to be readable, and whoever reads it finds out.
  using Slots = std::array<std::atomic<std::uint64_t>, kSlots>;

  std::unique_ptr<Slots> slots_;
};

}  // namespace varve
