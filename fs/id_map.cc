// SPDX-License-Identifier: Apache-2.0
#include "fs/id_map.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::size_t kMaxRanges = 64;
/// 2^32-1 means "no id" to the kernel.
constexpr std::uint64_t kIdEnd = 0xffffffff;

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw UserError(EINVAL, "the id map '" + std::string(text) + "' " + why);
}

std::optional<std::uint32_t> number(std::string_view word) {
  std::uint32_t value = 0;
  const auto result = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || result.ec != std::errc{} || result.ptr != word.data() + word.size() ||
      value >= kIdEnd)
    return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

IdMap::Range parse_range(std::string_view text, std::string_view word) {
  const auto parts = split(word, ':');
  const auto stored = number(parts[0]);
  std::optional<std::uint32_t> shown;
  if (parts.size() > 1) shown = number(parts[1]);
  const auto count = parts.size() > 2 ? number(parts[2]) : std::optional<std::uint32_t>(1);
  if (parts.size() > 3 || !stored || !shown || !count || *count == 0)
    refuse(text, "is not STORED:SHOWN:COUNT with numbers below 4294967295; join several with '+'");
  if (*stored + std::uint64_t{*count} > kIdEnd || *shown + std::uint64_t{*count} > kIdEnd)
    refuse(text, "reaches above the largest id, 4294967294; make COUNT smaller");
  return {*stored, *shown, *count};
}

bool overlap(std::uint64_t a, std::uint64_t a_count, std::uint64_t b, std::uint64_t b_count) {
  return a < b + b_count && b < a + a_count;
}

}  // namespace

IdMap IdMap::parse(std::string_view text) {
  IdMap map;
  const auto words = split(text, '+');
  if (words.size() > kMaxRanges) refuse(text.substr(0, 64), "has more than 64 ranges");
  for (const std::string_view word : words) {
    const Range range = parse_range(text, word);
    for (const Range& other : map.ranges_)
      if (overlap(range.stored, range.count, other.stored, other.count) ||
          overlap(range.shown, range.count, other.shown, other.count))
        refuse(text, "names an id twice on one side; ranges must not overlap");
    map.ranges_.push_back(range);
  }
  return map;
}

std::uint32_t IdMap::shown(std::uint32_t stored) const {
  if (ranges_.empty()) return stored;
  for (const Range& range : ranges_)
    if (stored >= range.stored && stored - range.stored < range.count)
      return range.shown + (stored - range.stored);
  return kOverflowId;
}

std::optional<std::uint32_t> IdMap::stored(std::uint32_t shown) const {
  if (ranges_.empty()) return shown;
  for (const Range& range : ranges_)
    if (shown >= range.shown && shown - range.shown < range.count)
      return range.stored + (shown - range.shown);
  return std::nullopt;
}

std::string IdMap::text() const {
  std::string text;
  for (const Range& range : ranges_)
    text += (text.empty() ? "" : "+") + std::to_string(range.stored) + ":" +
            std::to_string(range.shown) + ":" + std::to_string(range.count);
  return text;
}

IdMapping::Squash parse_squash(std::string_view text) {
  const auto parts = split(text, ':');
  const auto uid = number(parts[0]);
  const auto gid = parts.size() > 1 ? number(parts[1]) : uid;
  if (parts.size() > 2 || !uid || !gid)
    throw UserError(EINVAL, "squash '" + std::string(text) +
                                "' is not UID or UID:GID with numbers below 4294967295");
  return {*uid, *gid};
}

}  // namespace varve
