// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mountd/json.h"
#include "mountd/control_api.h"

namespace varve {

/// A request to the control API, taken apart: `parts` are the decoded segments of the path that
/// stand where the route has '*'. The readers throw UserError(EINVAL) that names the field.
struct ControlApi::Call {
  std::vector<std::string> parts;
  std::map<std::string, std::string> query;
  Json body;  ///< an object, empty if the request has no body

  /// The string field of the body; none if absent or null.
  std::optional<std::string> text(const char* field) const;
  std::string required_text(const char* field) const;
  bool flag(const char* field) const;
  std::optional<std::uint64_t> number(const char* field) const;
  /// Bytes: a number of bytes or a text as parse_size takes it.
  std::optional<std::uint64_t> size(const char* field) const;
  /// A map of strings; empty if absent.
  std::map<std::string, std::string> words(const char* field) const;
  /// Likewise, of names that a user may give to labels.
  std::map<std::string, std::string> labels(const char* field) const;
  /// The query's value, empty if absent.
  std::string parameter(const char* name) const;
};

struct ControlApi::Route {
  const char* method;
  const char* pattern;  ///< below /v1/; '*' stands for one segment
  Json (ControlApi::*run)(const Call&);
};

/// "2026-11-21T08:16:39.123456789Z"
std::string time_text(std::int64_t ns);

/// The JSON of a mount in lists and in `status`.
Json describe_mount(const LiveMount& mount);

/// Sets `object[field]`. JSON holds Unicode only; a path that is not UTF-8 comes with its bytes in
/// hex as well, as `field`_hex.
void put_path(Json& object, const std::string& field, const std::string& path);

/// `text` as a JSON string; bytes that are not UTF-8 become U+FFFD.
std::string lossy_utf8(const std::string& text);

}  // namespace varve
