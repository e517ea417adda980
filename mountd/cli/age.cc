// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/age.h"

#include <charconv>

#include "mountd/cli/command.h"

namespace varve::cli {

std::int64_t parse_age_seconds(const std::string& text) {
  std::int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(result.ptr, text.data() + text.size());
  std::int64_t seconds = 0;
  if (unit == "s") seconds = 1;
  if (unit == "m") seconds = 60;
  if (unit == "h") seconds = 3600;
  if (unit == "d") seconds = 86'400;
  if (unit == "w") seconds = 604'800;
  if (result.ec != std::errc{} || number < 0 || number > 100'000'000 || seconds == 0)
    throw UsageError("age '" + text + "' is not a number with s, m, h, d or w, such as 7d");
  return number * seconds;
}

}  // namespace varve::cli
