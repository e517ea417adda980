// SPDX-License-Identifier: Apache-2.0
#include "fs/scrub_state.h"

#include <charconv>
#include <map>
#include <sstream>
#include <type_traits>

#include "store/checksum.h"

namespace varve {
namespace {

constexpr const char* kTitle = "varve scrub 1";

std::string checked(const std::string& body) {
  return body + "check: " + std::to_string(checksum_of(as_bytes(body))) + "\n";
}

/// The number of one line; none if it is absent or no number.
template <class Number>
std::optional<Number> number_of(const std::map<std::string, std::string>& lines, const char* name) {
  const auto found = lines.find(name);
  if (found == lines.end()) return std::nullopt;
  const std::string& text = found->second;
  Number out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

std::optional<Digest> digest_of_hex(const std::string& text) {
  Digest out;
  if (text.size() != 2 * out.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < out.bytes.size(); ++i) {
    std::uint8_t byte = 0;
    const char* const at = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(at, at + 2, byte, 16);
    if (error != std::errc() || end != at + 2) return std::nullopt;
    out.bytes[i] = static_cast<std::byte>(byte);
  }
  return out;
}

}  // namespace

std::uint32_t ScrubState::done_ten_thousandths() const {
  if (finished) return 10'000;
  if (!cursor) return 0;
  const auto prefix = std::to_integer<std::uint32_t>(cursor->bytes[0]) << 8 |
                      std::to_integer<std::uint32_t>(cursor->bytes[1]);
  return prefix * 10'000 / 65'536;
}

std::string ScrubState::encode() const {
  std::ostringstream out;
  out << kTitle << "\nstate: " << (finished ? "finished" : "running") << "\nstarted: " << started_ns
      << "\nended: " << finished_ns << "\nafter: " << (cursor ? cursor->hex() : "-")
      << "\nobjects: " << objects << "\nbytes: " << bytes << "\nrepaired: " << repaired
      << "\nmended: " << mended << "\nunrepaired: " << unrepaired << "\n";
  return checked(out.str());
}

std::optional<ScrubState> ScrubState::decode(const std::string& text) {
  const std::size_t check = text.rfind("check: ");
  if (check == std::string::npos || checked(text.substr(0, check)) != text) return std::nullopt;
  std::istringstream in(text);
  std::string line;
  if (!std::getline(in, line) || line != kTitle) return std::nullopt;
  std::map<std::string, std::string> lines;
  while (std::getline(in, line)) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) return std::nullopt;
    lines[line.substr(0, colon)] = line.substr(colon + 2);
  }
  ScrubState out;
  const auto take = [&](const char* name, auto& value) {
    const auto number = number_of<std::remove_reference_t<decltype(value)>>(lines, name);
    if (number) value = *number;
    return number.has_value();
  };
  if (!take("started", out.started_ns) || !take("ended", out.finished_ns) ||
      !take("objects", out.objects) || !take("bytes", out.bytes) ||
      !take("repaired", out.repaired) || !take("mended", out.mended) ||
      !take("unrepaired", out.unrepaired)) {
    return std::nullopt;
  }
  out.finished = lines["state"] == "finished";
  if (lines["after"] != "-") {
    out.cursor = digest_of_hex(lines["after"]);
    if (!out.cursor) return std::nullopt;
  }
  return out;
}

}  // namespace varve
