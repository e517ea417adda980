// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace varve {

/// One request as a handler sees it: the target is taken apart and decoded.
struct HttpRequest {
  std::string method;                        ///< "GET", "POST" ... in capitals
  std::string path;                          ///< before '?', still percent-encoded
  std::map<std::string, std::string> query;  ///< decoded; the last of equal names counts
  std::string body;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

/// Every byte but letters, digits and "-._~" becomes %XX.
std::string percent_encode(std::string_view text);
/// The inverse; a '%' without two hex digits stays as it is. `plus_is_space` is for queries.
std::string percent_decode(std::string_view text, bool plus_is_space = false);
/// Splits a request target into path and query.
void parse_target(std::string_view target, HttpRequest& request);

}  // namespace varve
