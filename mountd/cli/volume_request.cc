// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/volume_request.h"

#include <charconv>
#include <limits>

#include "mountd/size_text.h"

namespace varve::cli {
namespace {

unsigned parse_mode(const std::string& text) {
  unsigned mode = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (text.empty() || result.ec != std::errc{} || result.ptr != text.data() + text.size() ||
      mode > 07777)
    throw UsageError("--mode " + text + " is not an octal number up to 7777");
  return mode;
}

}  // namespace

Json volume_request(const Invocation& invocation) {
  constexpr unsigned kMaxId = std::numeric_limits<unsigned>::max() - 1;
  Json request = Json::object();
  if (const auto size = invocation.value("size")) request["size"] = parse_size(*size);
  if (const auto labels = invocation.labels(); !labels.empty()) request["labels"] = labels;
  if (const auto options = invocation.labels("option"); !options.empty())
    request["options"] = options;
  if (invocation.flag("protect")) request["protect"] = true;
  if (const auto mode = invocation.value("mode")) request["mode"] = parse_mode(*mode);
  if (const auto uid = invocation.number("uid", kMaxId)) request["uid"] = *uid;
  if (const auto gid = invocation.number("gid", kMaxId)) request["gid"] = *gid;
  return request;
}

}  // namespace varve::cli
