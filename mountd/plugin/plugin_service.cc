// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/plugin_service.h"

#include "mountd/plugin/mount_users.h"

namespace varve {
namespace {

ContainerVolumes::Options options_for(Store& store) {
  ContainerVolumes::Options options;
  options.run_directory = run_directory();
  options.mount_root = options.run_directory + "/varve/" + to_hex(store.id()) + "/volumes";
  options.attachments_path = store.path() + "/attachments.json";
  options.boot_id = Attachments::this_boot();
  return options;
}

}  // namespace

PluginService::PluginService(Repository& repository, LiveMounts& mounts, const VolumeRules& rules,
                             std::vector<std::string> sockets)
    : sockets_(std::move(sockets)),
      volumes_(repository, mounts, rules, Disk::host(), options_for(repository.store())),
      plugin_(volumes_) {
  volumes_.recover();
}

void PluginService::remove_directories(Store& store) {
  const ContainerVolumes::Options options = options_for(store);
  // What the daemons of other stores make at this moment is theirs.
  remove_empty_directories(options.run_directory + "/varve", options.mount_root);
}

std::vector<HttpEndpoint> PluginService::endpoints() {
  std::vector<HttpEndpoint> list;
  for (const std::string& socket : sockets_) {
    HttpEndpoint& endpoint = list.emplace_back();
    endpoint.socket_path = socket;
    endpoint.handler = [this](const HttpRequest& request) { return plugin_.handle(request); };
    endpoint.error_field = "Err";
  }
  return list;
}

std::string rules_path(const std::string& store) { return store + "/rules.json"; }

}  // namespace varve
