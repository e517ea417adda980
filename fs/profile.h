// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace varve {

/// What a volume is used for. It chooses how its data is stored, from the next commit on:
/// kGeneral   chunks of up to 128 KiB that are split where they are overwritten; quick compression
/// kDatabase  chunks of 16 KiB from the start: less is written again for a small change
/// kArchive   as kGeneral, compressed thoroughly
enum class Profile { kGeneral, kDatabase, kArchive };

/// The label of a volume that says its profile.
inline constexpr const char* kProfileLabel = "varve.profile";

/// "general", "database", "archive".
const char* profile_word(Profile profile);
std::optional<Profile> parse_profile(std::string_view word);
/// The profile of a volume with these labels; kGeneral if they say none, or one unknown here.
Profile profile_of(const std::map<std::string, std::string>& labels);

}  // namespace varve
