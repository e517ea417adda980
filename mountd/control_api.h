// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "fs/repository.h"
#include "mountd/http_message.h"
#include "mountd/live_mounts.h"

namespace varve {

/// Every command on a store as a request and a JSON reply; docs/control-api.md lists them. The
/// daemon's HTTP server and the command line without a daemon call the same handle(), so both
/// behave alike. Safe to share between threads.
class ControlApi {
 public:
  struct Hooks {
    /// Asks the daemon to end once the reply was sent. Empty: not a daemon.
    std::function<void()> stop;
    /// The ids of the containers that use a volume, for lists. May be empty.
    std::function<std::vector<std::string>(const std::string& volume)> containers;
  };

  /// `mounts` is null when this process serves no mounts. Both must outlive this.
  ControlApi(Repository& repository, LiveMounts* mounts, Hooks hooks = {});

  /// Never throws: a failure is a reply with a status ≥ 400 and the body
  /// {"error": sentence, "code": word, "errno": number}.
  HttpReply handle(const HttpRequest& request) noexcept;

 private:
  /// A request whose path and body are taken apart.
  struct Call;
  struct Route;
  static const std::vector<Route>& routes();
  nlohmann::json dispatch(const HttpRequest& request);

  // control_api_volumes.cc
  nlohmann::json list_volumes(const Call& call);
  nlohmann::json create_volume(const Call& call);
  nlohmann::json inspect_volume(const Call& call);
  nlohmann::json change_volume(const Call& call);
  nlohmann::json remove_volume(const Call& call);
  nlohmann::json restore_volume(const Call& call);
  nlohmann::json purge_trash(const Call& call);
  nlohmann::json describe(const VolumeInfo& info);
  nlohmann::json describe(const VolumeInfo& info, const std::vector<std::string>& snapshots);
  void refuse_if_mounted(const std::string& volume);

  // control_api_snapshots.cc
  nlohmann::json list_snapshots(const Call& call);
  nlohmann::json create_snapshot(const Call& call);
  nlohmann::json inspect_snapshot(const Call& call);
  nlohmann::json remove_snapshot(const Call& call);
  nlohmann::json rollback(const Call& call);
  nlohmann::json diff(const Call& call);
  void refuse_writeback(const std::string& volume);
  std::map<VolumeId, std::string> volume_names();
  static void check_reference(const std::string& reference);
  void flush_source(const std::string& reference);

  // control_api_check.cc
  nlohmann::json start_scrub(const Call& call);
  nlohmann::json stop_scrub(const Call& call);
  nlohmann::json scrub_status(const Call& call);
  nlohmann::json removal_space(const Call& call);

  // control_api_daemon.cc
  nlohmann::json version(const Call& call);
  nlohmann::json status(const Call& call);
  nlohmann::json df(const Call& call);
  nlohmann::json sync(const Call& call);
  nlohmann::json list_mounts(const Call& call);
  nlohmann::json mount(const Call& call);
  nlohmann::json unmount(const Call& call);
  nlohmann::json stop(const Call& call);
  LiveMounts& mounts();

  Repository& repository_;
  LiveMounts* const mounts_;
  const Hooks hooks_;
};

}  // namespace varve
