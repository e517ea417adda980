// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/volume_plugin.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "mountd/control_api_call.h"
#include "mountd/size_text.h"
#include "mountd/unix_socket.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

constexpr std::size_t kMaxIdBytes = 512, kMaxOptions = 256;

/// The request is no call of the protocol.
class BadRequest : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

HttpReply reply_of(int status, const Json& body) {
  return {status, VolumePlugin::kContentType,
          body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

HttpReply refusal(int status, const std::string& sentence) {
  return reply_of(status, {{"Err", sentence}});
}

/// Podman's list and Docker's activation have no body.
Json parse_body(const std::string& body) {
  if (body.empty()) return Json::object();
  Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded()) throw BadRequest("the request's body is not JSON");
  if (json.is_null()) return Json::object();
  if (!json.is_object()) throw BadRequest("the request's body is not a JSON object");
  return json;
}

std::string text_of(const Json& body, const char* field) {
  const auto found = body.find(field);
  if (found == body.end() || !found->is_string())
    throw BadRequest(std::string("the request needs the text \"") + field + "\"");
  return found->get<std::string>();
}

std::string id_of(const Json& body) {
  std::string id = text_of(body, "ID");
  if (id.empty() || id.size() > kMaxIdBytes)
    throw BadRequest("\"ID\" must have from 1 to " + std::to_string(kMaxIdBytes) + " bytes");
  return id;
}

OptionWords options_of(const Json& body) {
  OptionWords words;
  const auto found = body.find("Opts");
  if (found == body.end() || found->is_null()) return words;
  if (!found->is_object() || found->size() > kMaxOptions)
    throw BadRequest("\"Opts\" must be an object of at most 256 texts");
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string()) throw BadRequest("option \"" + name + "\" is not a text");
    words[name] = value.get<std::string>();
  }
  return words;
}

/// "2026-11-21T08:16:39Z": engines refuse a whole list for a time they cannot read.
std::string created_text(const VolumeRow& row) {
  const std::string text = time_text(row.created_ns);
  return text.substr(0, text.find('.')) + "Z";
}

}  // namespace

struct VolumePlugin::Route {
  const char* path;
  Json (VolumePlugin::*run)(const Json&);
};

const VolumePlugin::Route* VolumePlugin::find_route(const std::string& path) {
  static constexpr std::array kRoutes{
      Route{"/Plugin.Activate", &VolumePlugin::activate},
      Route{"/VolumeDriver.Capabilities", &VolumePlugin::capabilities},
      Route{"/VolumeDriver.Create", &VolumePlugin::create},
      Route{"/VolumeDriver.Get", &VolumePlugin::get},
      Route{"/VolumeDriver.List", &VolumePlugin::list},
      Route{"/VolumeDriver.Path", &VolumePlugin::path},
      Route{"/VolumeDriver.Mount", &VolumePlugin::mount},
      Route{"/VolumeDriver.Unmount", &VolumePlugin::unmount},
      Route{"/VolumeDriver.Remove", &VolumePlugin::remove},
  };
  for (const Route& route : kRoutes)
    if (path == route.path) return &route;
  return nullptr;
}

HttpReply VolumePlugin::handle(const HttpRequest& request) noexcept {
  try {
    const Route* route = find_route(request.path);
    if (route == nullptr)
      return refusal(404, "there is no call " + request.path + " of the volume plugin protocol");
    if (request.method != "POST")
      return refusal(405, "calls of the volume plugin protocol are POST, not " + request.method);
    Json reply = (this->*route->run)(parse_body(request.body));
    if (request.path != "/Plugin.Activate") reply["Err"] = "";
    return reply_of(200, reply);
  } catch (const BadRequest& bad) {
    return refusal(400, bad.what());
  } catch (const UserError& error) {
    return refusal(500, error.what());
  } catch (const std::exception& failure) {
    log_error("plugin", request.path + ": " + failure.what());
    return refusal(500, failure.what());
  }
}

Json VolumePlugin::activate(const Json&) { return {{"Implements", {"VolumeDriver"}}}; }

Json VolumePlugin::capabilities(const Json&) { return {{"Capabilities", {{"Scope", "local"}}}}; }

Json VolumePlugin::create(const Json& body) {
  volumes_.create(text_of(body, "Name"), options_of(body));
  return Json::object();
}

Json VolumePlugin::status_of(const VolumeInfo& info) const {
  const std::size_t at = info.row.source.find('@');
  Json status{
      {"size", quota_text(info.quota_bytes)},
      {"size_bytes", info.quota_bytes},
      {"used_bytes", info.logical_bytes},
      {"inodes", info.inodes},
      {"snapshots", info.snapshots},
      {"source", info.row.source},
      {"source_snapshot", at == std::string::npos ? std::string{} : info.row.source.substr(at + 1)},
      {"root_digest", info.root_digest},
      {"protected", info.row.protect},
      {"mounts", volumes_.holders(info.row.name)},
      {"options", kept_words(info.row.labels)}};
  Json labels = Json::object();
  for (const auto& [key, value] : info.row.labels)
    if (!is_option_label(key)) labels[key] = value;
  status["labels"] = std::move(labels);
  return status;
}

Json VolumePlugin::get(const Json& body) {
  const VolumeInfo info = volumes_.find(text_of(body, "Name"));
  return {{"Volume",
           {{"Name", info.row.name},
            {"Mountpoint", volumes_.mount_point_of(info.row.name)},
            {"CreatedAt", created_text(info.row)},
            {"Status", status_of(info)}}}};
}

Json VolumePlugin::list(const Json&) {
  Json list = Json::array();
  for (const VolumeInfo& info : volumes_.list())
    list.push_back({{"Name", info.row.name},
                    {"Mountpoint", volumes_.mount_point_of(info.row.name)},
                    {"CreatedAt", created_text(info.row)}});
  return {{"Volumes", std::move(list)}};
}

Json VolumePlugin::path(const Json& body) {
  const std::string name = volumes_.find(text_of(body, "Name")).row.name;
  return {{"Mountpoint", volumes_.mount_point_of(name)}};
}

Json VolumePlugin::mount(const Json& body) {
  const std::string id = id_of(body);
  return {{"Mountpoint", volumes_.mount(text_of(body, "Name"), id)}};
}

Json VolumePlugin::unmount(const Json& body) {
  const std::string id = id_of(body);
  volumes_.unmount(text_of(body, "Name"), id);
  return Json::object();
}

Json VolumePlugin::remove(const Json& body) {
  volumes_.remove(text_of(body, "Name"));
  return Json::object();
}

void prepare_plugin_directory(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  std::error_code error;
  if (directory == kPluginDirectory) {
    for (const char* part : {"/run/docker", kPluginDirectory})
      if (::mkdir(part, 0755) != 0 && errno != EEXIST)
        throw UserError(errno, std::string(part) + " cannot be made: " + errno_text(errno) +
                                   "; give --plugin a path that you may write to");
  }
  if (!std::filesystem::is_directory(directory, error))
    throw UserError(ENOENT, "the plugin socket " + path +
                                " cannot be made: there is no directory " + directory +
                                "; make it first, or give --plugin-socket another path");
  // Not EBUSY: a starter would take it for a store that is about to be free, and wait.
  if (connect_unix(path))
    throw UserError(EADDRINUSE, "another process listens on " + path +
                                    "; stop it first, or choose another --plugin-socket");
}

}  // namespace varve
