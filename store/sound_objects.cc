// SPDX-License-Identifier: Apache-2.0
#include "store/sound_objects.h"

#include <cstring>

namespace varve {
namespace {

constexpr unsigned kSecondBits = 24;
constexpr std::uint64_t kSecondMask = (1u << kSecondBits) - 1;
constexpr std::uint64_t kDigestedBit = 1u << kSecondBits;
constexpr std::uint64_t kTagMask = ~(kDigestedBit | kSecondMask);

std::uint64_t second_of(SoundObjects::Clock::time_point time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch());
  return (static_cast<std::uint64_t>(seconds.count()) + 1) & kSecondMask;
}

struct Place {
  std::size_t slot = 0;
  std::uint64_t tag = 0;  ///< with zeros for the rest
};

Place place_of(const Digest& digest, std::size_t slots) {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::memcpy(&low, digest.bytes.data(), sizeof low);
  std::memcpy(&high, digest.bytes.data() + sizeof low, sizeof high);
  return {static_cast<std::size_t>(low % slots), high & kTagMask};
}

}  // namespace

void SoundObjects::note(const Digest& digest, Found found, Clock::time_point now) {
  const Place place = place_of(digest, kSlots);
  const bool by_digest = found == Found::kByDigest || digested(digest);
  (*slots_)[place.slot].store(place.tag | (by_digest ? kDigestedBit : 0) | second_of(now),
                              std::memory_order_relaxed);
}

bool SoundObjects::noted_lately(const Digest& digest, Clock::time_point now) const {
  const Place place = place_of(digest, kSlots);
  const std::uint64_t slot = (*slots_)[place.slot].load(std::memory_order_relaxed);
  if (slot == 0 || (slot & kTagMask) != place.tag) return false;
  const std::uint64_t age = (second_of(now) - (slot & kSecondMask)) & kSecondMask;
  return age < static_cast<std::uint64_t>(std::chrono::seconds(kLately).count());
}

bool SoundObjects::digested(const Digest& digest) const {
  const Place place = place_of(digest, kSlots);
  const std::uint64_t slot = (*slots_)[place.slot].load(std::memory_order_relaxed);
  return (slot & kDigestedBit) != 0 && (slot & kTagMask) == place.tag;
}

void SoundObjects::forget(const Digest& digest) {
  const Place place = place_of(digest, kSlots);
  (*slots_)[place.slot].store(0, std::memory_order_relaxed);
}

}  // namespace varve
