// SPDX-License-Identifier: Apache-2.0
#include "fs/profile.h"

namespace varve {

const char* profile_word(Profile profile) {
  switch (profile) {
    case Profile::kDatabase:
      return "database";
    case Profile::kArchive:
      return "archive";
    default:
      return "general";
  }
}

std::optional<Profile> parse_profile(std::string_view word) {
  for (const Profile profile : {Profile::kGeneral, Profile::kDatabase, Profile::kArchive})
    if (word == profile_word(profile)) return profile;
  return std::nullopt;
}

Profile profile_of(const std::map<std::string, std::string>& labels) {
  const auto found = labels.find(kProfileLabel);
  if (found == labels.end()) return Profile::kGeneral;
  return parse_profile(found->second).value_or(Profile::kGeneral);
}

}  // namespace varve
