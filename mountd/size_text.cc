// SPDX-License-Identifier: Apache-2.0
#include "mountd/size_text.h"

#include <array>
#include <cctype>
#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

[[noreturn]] void refuse(std::string_view text, const char* why) {
  throw UserError(EINVAL, "size '" + std::string(text) + "' " + why +
                              "; write a number of GB or a number with a unit, such as 10, 512MB "
                              "or 1.5TiB, or 0 for no limit");
}

/// 0 if `unit` is none.
std::uint64_t unit_bytes(std::string unit) {
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (unit.empty()) return kGigabyte;
  if (unit == "b") return 1;
  const std::size_t power = std::string_view("kmgtp").find(unit[0]);
  if (power == std::string_view::npos) return 0;
  const std::string rest = unit.substr(1);
  std::uint64_t base = 0;
  if (rest == "b") base = 1000;
  if (rest.empty() || rest == "ib") base = 1024;
  std::uint64_t bytes = base;
  for (std::size_t i = 0; i < power; ++i) bytes *= base;
  return bytes;
}

/// `value` with at most `decimals` digits after the point, trailing zeros removed; rounds down.
std::string decimal(std::uint64_t value, std::uint64_t unit, int decimals) {
  std::string out = std::to_string(value / unit);
  std::uint64_t rest = value % unit;
  std::string fraction;
  for (int i = 0; i < decimals && rest != 0; ++i) {
    rest *= 10;  // the largest unit is 10^15: no overflow
    fraction += static_cast<char>('0' + rest / unit);
    rest %= unit;
  }
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return fraction.empty() ? out : out + "." + fraction;
}

}  // namespace

std::uint64_t parse_size(std::string_view text) {
  std::size_t at = 0;
  std::uint64_t whole = 0, fraction = 0, fraction_scale = 1;
  bool digits = false;
  const auto is_digit = [&] { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
  for (; is_digit(); ++at, digits = true) {
    if (whole > kMaxSizeBytes / 10) refuse(text, "is too large");
    whole = whole * 10 + static_cast<std::uint64_t>(text[at] - '0');
  }
  if (digits && at < text.size() && text[at] == '.') {
    ++at;
    digits = false;
    for (; is_digit(); ++at, digits = true) {
      if (fraction_scale >= 1'000'000) continue;  // digits past a millionth do not count
      fraction = fraction * 10 + static_cast<std::uint64_t>(text[at] - '0');
      fraction_scale *= 10;
    }
  }
  if (!digits) refuse(text, "is not a number");
  while (at < text.size() && text[at] == ' ') ++at;
  const std::uint64_t unit = unit_bytes(std::string(text.substr(at)));
  if (unit == 0) refuse(text, "has an unknown unit");
  using Wide = unsigned __int128;
  const Wide bytes = Wide{whole} * unit + Wide{fraction} * unit / fraction_scale;
  if (bytes > kMaxSizeBytes) refuse(text, "is too large");
  if (bytes == 0 && (whole != 0 || fraction != 0)) refuse(text, "is less than one byte");
  return static_cast<std::uint64_t>(bytes);
}

std::string size_text(std::uint64_t size_bytes) {
  struct Unit {
    std::uint64_t bytes;
    const char* name;
  };
  static constexpr std::array<Unit, 5> kUnits{{{1'000'000'000'000'000, " PB"},
                                               {1'000'000'000'000, " TB"},
                                               {1'000'000'000, " GB"},
                                               {1'000'000, " MB"},
                                               {1'000, " KB"}}};
  for (const Unit& unit : kUnits) {
    if (size_bytes >= unit.bytes) return decimal(size_bytes, unit.bytes, 2) + unit.name;
  }
  return std::to_string(size_bytes) + " B";
}

std::string quota_text(std::uint64_t quota_bytes) {
  return quota_bytes == 0 ? "unlimited" : size_text(quota_bytes);
}

std::string gigabytes_text(std::uint64_t size_bytes) { return decimal(size_bytes, kGigabyte, 9); }

}  // namespace varve
