// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace varve {

/// The quota of a volume whose creator gives none: 10 GB.
inline constexpr std::uint64_t kGigabyte = 1'000'000'000;
inline constexpr std::uint64_t kDefaultQuotaBytes = 10 * kGigabyte;
/// What a `size` may be at most: the kernel counts in signed 64-bit numbers.
inline constexpr std::uint64_t kMaxSizeBytes = (1ull << 63) - 1;

/// The bytes that `text` means: a number, with a fraction if wanted, and a unit. Without a unit GB
/// are meant. B, KB, MB, GB, TB, PB are powers of 1000; K, M, G, T, P and KiB ... PiB are powers of
/// 1024; case does not matter. "0" is no limit. Throws UserError(EINVAL) that shows `text`.
std::uint64_t parse_size(std::string_view text);

/// For people, in powers of 1000: "10 GB", "1.5 MB", "512 B".
std::string size_text(std::uint64_t size_bytes);
/// A quota for people: as size_text, "unlimited" for 0.
std::string quota_text(std::uint64_t quota_bytes);
/// A quota in GB without a unit, as the labels of `volume inspect` show it: "10", "0.5", "0".
std::string gigabytes_text(std::uint64_t size_bytes);

}  // namespace varve
