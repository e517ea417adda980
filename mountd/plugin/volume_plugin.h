// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mountd/http_message.h"
#include "mountd/json.h"
#include "mountd/plugin/container_volumes.h"

namespace varve {

/// The volume plugin protocol of Docker, which Podman speaks too: JSON over HTTP, one path for each
/// call. Errors are status 500 and {"Err": sentence}, as Podman looks at the status only; requests
/// that are no such calls get 400, 404 or 405 with the same body. Safe to share between threads.
class VolumePlugin {
 public:
  /// `volumes` must outlive this.
  explicit VolumePlugin(ContainerVolumes& volumes) : volumes_(volumes) {}

  HttpReply handle(const HttpRequest& request) noexcept;

  static constexpr const char* kContentType = "application/vnd.docker.plugins.v1.1+json";

 private:
  struct Route;
  static const Route* find_route(const std::string& path);

  Json activate(const Json& body);
  Json capabilities(const Json& body);
  Json create(const Json& body);
  Json get(const Json& body);
  Json list(const Json& body);
  Json path(const Json& body);
  Json mount(const Json& body);
  Json unmount(const Json& body);
  Json remove(const Json& body);
  Json status_of(const VolumeInfo& info) const;

  ContainerVolumes& volumes_;
};

/// Makes the directory of the plugin socket at `path` when it is the engines' own
/// (/run/docker/plugins); another must exist. UserError(ENOENT) that names it.
void prepare_plugin_directory(const std::string& path);

/// Where Docker looks for plugins, and our socket there.
inline constexpr const char* kPluginDirectory = "/run/docker/plugins";
inline constexpr const char* kDefaultPluginSocket = "/run/docker/plugins/varve.sock";

}  // namespace varve
