// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mountd/http_server.h"
#include "mountd/plugin/container_volumes.h"
#include "mountd/plugin/volume_plugin.h"

namespace varve {

/// The volume plugin of a daemon: a store's volumes for container engines, on one or more sockets.
/// Safe to share between threads.
class PluginService {
 public:
  /// Takes up what a daemon before left (ContainerVolumes::recover). `repository`, `mounts` and
  /// `rules` must outlive this. UserError when there is no place for mounts.
  PluginService(Repository& repository, LiveMounts& mounts, const VolumeRules& rules,
                std::vector<std::string> sockets);

  /// Takes away the directories in which a store's volumes were mounted; those that are in use
  /// stay.
  static void remove_directories(Store& store);

  /// What the HTTP server is to serve; refers to this.
  std::vector<HttpEndpoint> endpoints();
  const std::vector<std::string>& sockets() const { return sockets_; }
  ContainerVolumes& volumes() { return volumes_; }

 private:
  const std::vector<std::string> sockets_;
  ContainerVolumes volumes_;
  VolumePlugin plugin_;
};

/// The file of a store's VolumeRules.
std::string rules_path(const std::string& store);

}  // namespace varve
