// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace varve {

/// What a name is given to.
enum class NameOf { kVolume, kSnapshot };

/// Longest name of a volume or snapshot, in bytes.
inline constexpr std::size_t kMaxObjectNameBytes = 255;

/// Throws UserError(EINVAL) with a sentence unless `name` has 1 to kMaxObjectNameBytes bytes and
/// matches [A-Za-z0-9][A-Za-z0-9_.-]*.
void validate_name(NameOf what, std::string_view name);

}  // namespace varve
