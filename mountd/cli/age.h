// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace varve::cli {

/// The seconds that `text` means: a number with s, m, h, d or w, such as "7d". UsageError that
/// shows `text` otherwise.
std::int64_t parse_age_seconds(const std::string& text);

}  // namespace varve::cli
