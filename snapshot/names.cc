// SPDX-License-Identifier: Apache-2.0
#include "snapshot/names.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "store/base/error.h"

namespace varve {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_name_character(char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; }

/// The name for the error text: cut short, and nothing in it that a terminal would obey.
std::string shown(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 64)) out.push_back(c >= ' ' && c <= '~' ? c : '?');
  if (name.size() > 64) out += "...";
  return out;
}

}  // namespace

void validate_name(NameOf what, std::string_view name) {
  const std::string noun = what == NameOf::kVolume ? "volume" : "snapshot";
  if (name.empty()) throw UserError(EINVAL, "The " + noun + " name is empty. Give a name");
  if (name.size() > kMaxObjectNameBytes) {
    throw UserError(EINVAL, "The " + noun + " name \"" + shown(name) +
                                "\" is too long. Use at most 255 characters");
  }
  if (!is_alphanumeric(name.front()) || !std::all_of(name.begin(), name.end(), is_name_character)) {
    throw UserError(EINVAL, "The " + noun + " name \"" + shown(name) +
                                "\" is not valid. Use letters, digits, '_', '.' and '-', and begin "
                                "with a letter or a digit");
  }
}

}  // namespace varve
