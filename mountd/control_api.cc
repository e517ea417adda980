// SPDX-License-Identifier: Apache-2.0
#include "mountd/control_api.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <new>

#include "mountd/control_api_call.h"
#include "mountd/control_error.h"
#include "mountd/size_text.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

[[noreturn]] void refuse_field(const char* field, const char* what) {
  throw UserError(EINVAL, std::string("field '") + field + "' must be " + what);
}

/// The segments of `path` below /v1/, decoded; none if it is elsewhere.
std::optional<std::vector<std::string>> segments_of(const std::string& path) {
  static constexpr std::string_view kPrefix = "/v1/";
  if (path.compare(0, kPrefix.size(), kPrefix) != 0) return std::nullopt;
  std::vector<std::string> segments;
  for (std::size_t at = kPrefix.size(); at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    segments.push_back(percent_decode(std::string_view(path).substr(at, end - at)));
    at = end + 1;
  }
  return segments;
}

/// True if `segments` fit `pattern`; the segments at its stars go to `parts`.
bool fits(std::string_view pattern, const std::vector<std::string>& segments,
          std::vector<std::string>& parts) {
  parts.clear();
  for (const std::string& segment : segments) {
    if (pattern.empty()) return false;
    const std::string_view wanted = pattern.substr(0, pattern.find('/'));
    pattern.remove_prefix(std::min(wanted.size() + 1, pattern.size()));
    if (wanted == "*") {
      parts.push_back(segment);
    } else if (wanted != segment) {
      return false;
    }
  }
  return pattern.empty();
}

HttpReply error_reply(int code, const std::string& sentence) {
  const Json body{{"error", sentence}, {"code", error_word(code)}, {"errno", code}};
  return {http_status(code), "application/json",
          body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

}  // namespace

std::optional<std::string> ControlApi::Call::text(const char* field) const {
  const auto found = body.find(field);
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_string()) refuse_field(field, "a string");
  return found->get<std::string>();
}

std::string ControlApi::Call::required_text(const char* field) const {
  const auto value = text(field);
  if (!value) refuse_field(field, "given");
  return *value;
}

bool ControlApi::Call::flag(const char* field) const {
  const auto found = body.find(field);
  if (found == body.end() || found->is_null()) return false;
  if (!found->is_boolean()) refuse_field(field, "true or false");
  return found->get<bool>();
}

std::optional<std::uint64_t> ControlApi::Call::number(const char* field) const {
  const auto found = body.find(field);
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_number_unsigned()) refuse_field(field, "a number that is not negative");
  return found->get<std::uint64_t>();
}

std::optional<std::uint64_t> ControlApi::Call::size(const char* field) const {
  const auto found = body.find(field);
  if (found != body.end() && found->is_string()) return parse_size(found->get<std::string>());
  const auto bytes = number(field);
  if (bytes && *bytes > kMaxSizeBytes) refuse_field(field, "at most 2^63-1");
  return bytes;
}

std::map<std::string, std::string> ControlApi::Call::words(const char* field) const {
  std::map<std::string, std::string> words;
  const auto found = body.find(field);
  if (found == body.end() || found->is_null()) return words;
  if (!found->is_object()) refuse_field(field, "an object of strings");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) refuse_field(field, "an object of strings");
    words[key] = value.get<std::string>();
  }
  return words;
}

std::map<std::string, std::string> ControlApi::Call::labels(const char* field) const {
  const std::map<std::string, std::string> labels = words(field);
  for (const auto& [key, value] : labels) {
    if (key.empty()) throw UserError(EINVAL, "a label needs a name; write NAME=VALUE");
    if (key == "container" || key == "size" || key == "snapshot" || is_option_label(key))
      throw UserError(EINVAL, "label '" + key + "' is reserved; choose another name");
  }
  return labels;
}

std::string ControlApi::Call::parameter(const char* name) const {
  const auto found = query.find(name);
  return found == query.end() ? std::string{} : found->second;
}

std::string time_text(std::int64_t ns) {
  const std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + size, text.size() - size, ".%09dZ",
                static_cast<int>(ns % 1'000'000'000));
  return text.data();
}

void put_path(Json& object, const std::string& field, const std::string& path) {
  const std::string text = lossy_utf8(path);
  object[field] = text;
  if (text != path) object[field + "_hex"] = to_hex(as_bytes(path));
}

std::string lossy_utf8(const std::string& text) {
  const std::string quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(quoted).get<std::string>();
}

ControlApi::ControlApi(Repository& repository, LiveMounts* mounts, Hooks hooks)
    : repository_(repository), mounts_(mounts), hooks_(std::move(hooks)) {}

const std::vector<ControlApi::Route>& ControlApi::routes() {
  static const std::vector<Route> kRoutes{
      {"GET", "version", &ControlApi::version},
      {"GET", "status", &ControlApi::status},
      {"GET", "df", &ControlApi::df},
      {"GET", "diff", &ControlApi::diff},
      {"POST", "sync", &ControlApi::sync},
      {"GET", "scrub", &ControlApi::scrub_status},
      {"POST", "scrub", &ControlApi::start_scrub},
      {"DELETE", "scrub", &ControlApi::stop_scrub},
      {"POST", "removal-space", &ControlApi::removal_space},
      {"POST", "stop", &ControlApi::stop},
      {"POST", "upgrade", &ControlApi::upgrade},
      {"GET", "volumes", &ControlApi::list_volumes},
      {"POST", "volumes", &ControlApi::create_volume},
      {"GET", "volumes/*", &ControlApi::inspect_volume},
      {"PATCH", "volumes/*", &ControlApi::change_volume},
      {"DELETE", "volumes/*", &ControlApi::remove_volume},
      {"POST", "volumes/*/rollback", &ControlApi::rollback},
      {"POST", "trash/*/restore", &ControlApi::restore_volume},
      {"DELETE", "trash", &ControlApi::purge_trash},
      {"GET", "rules", &ControlApi::list_rules},
      {"POST", "rules", &ControlApi::add_rule},
      {"DELETE", "rules", &ControlApi::remove_rule},
      {"GET", "snapshots", &ControlApi::list_snapshots},
      {"POST", "snapshots", &ControlApi::create_snapshot},
      {"GET", "snapshots/*", &ControlApi::inspect_snapshot},
      {"DELETE", "snapshots/*", &ControlApi::remove_snapshot},
      {"GET", "mounts", &ControlApi::list_mounts},
      {"POST", "mounts", &ControlApi::mount},
      {"DELETE", "mounts", &ControlApi::unmount},
  };
  return kRoutes;
}

Json ControlApi::dispatch(const HttpRequest& request) {
  const auto segments = segments_of(request.path);
  if (!segments)
    throw UserError(ENOENT, "there is nothing at " + request.path + "; the API is below /v1/");
  Call call;
  bool path_known = false;
  for (const Route& route : routes()) {
    if (!fits(route.pattern, *segments, call.parts)) continue;
    path_known = true;
    if (request.method != route.method) continue;
    call.query = request.query;
    call.body = Json::object();
    if (!request.body.empty()) {
      call.body = Json::parse(request.body, nullptr, false);
      if (!call.body.is_object()) throw UserError(EINVAL, "the body must be a JSON object");
    }
    return (this->*route.run)(call);
  }
  if (path_known)
    throw UserError(EINVAL, "method " + request.method + " is not known at " + request.path);
  throw UserError(ENOENT, "there is nothing at " + request.path);
}

HttpReply ControlApi::handle(const HttpRequest& request) noexcept {
  try {
    const Json reply = dispatch(request);
    return {200, "application/json", reply.dump(-1, ' ', false, Json::error_handler_t::replace)};
  } catch (const UserError& error) {
    return error_reply(error.code(), error.what());
  } catch (const Error& error) {
    log_error("control", request.method + " " + request.path + ": " + error.what());
    return error_reply(error.code(), error.what());
  } catch (const std::exception& failure) {
    log_error("control", request.method + " " + request.path + ": " + failure.what());
    return error_reply(EIO, std::string("internal error: ") + failure.what());
  }
}

}  // namespace varve
