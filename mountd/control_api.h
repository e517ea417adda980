// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mountd/json.h"

#include "fs/repository.h"
#include "mountd/http_message.h"
#include "mountd/live_mounts.h"
#include "mountd/plugin/volume_rules.h"

namespace varve {

/// Every command on a store as a request and a JSON reply; docs/control-api.md lists them. The
/// daemon's HTTP server and the command line without a daemon call the same handle(), so both
/// behave alike. Safe to share between threads.
class ControlApi {
 public:
  struct Hooks {
    /// Asks the daemon to end once the reply was sent. Empty: not a daemon.
    std::function<void()> stop;
    /// Null: none. Must outlive this.
    const Keeper* keeper = nullptr;
    /// Makes the program follow this one once the reply was sent. Empty: not a daemon.
    std::function<void(const std::string& program)> upgrade;
    /// The ids of the containers that use a volume, for lists. May be empty.
    std::function<std::vector<std::string>(const std::string& volume)> containers;
    /// Where the volume plugin answers; empty: it does not.
    std::vector<std::string> plugin_sockets;
    /// What new volumes get by their names. Null: nothing.
    VolumeRules* rules = nullptr;
  };

  /// `mounts` is null when this process serves no mounts. Both must outlive this.
  ControlApi(Repository& repository, LiveMounts* mounts, Hooks hooks);
  ControlApi(Repository& repository, LiveMounts* mounts)
      : ControlApi(repository, mounts, Hooks()) {}

  /// Never throws: a failure is a reply with a status ≥ 400 and the body
  /// {"error": sentence, "code": word, "errno": number}.
  HttpReply handle(const HttpRequest& request) noexcept;

 private:
  /// A request whose path and body are taken apart.
  struct Call;
  struct Route;
  static const std::vector<Route>& routes();
  Json dispatch(const HttpRequest& request);

  // control_api_volumes.cc
  Json list_volumes(const Call& call);
  Json create_volume(const Call& call);
  VolumeOptions creation_options(const Call& call, const std::string& name);
  Json inspect_volume(const Call& call);
  Json change_volume(const Call& call);
  Json remove_volume(const Call& call);
  Json restore_volume(const Call& call);
  Json purge_trash(const Call& call);
  Json describe(const VolumeInfo& info);
  Json describe(const VolumeInfo& info, const std::vector<std::string>& snapshots);
  void refuse_if_mounted(const std::string& volume);
  void refuse_if_in_containers(const std::string& volume);

  // control_api_snapshots.cc
  Json list_snapshots(const Call& call);
  Json create_snapshot(const Call& call);
  Json inspect_snapshot(const Call& call);
  Json remove_snapshot(const Call& call);
  Json rollback(const Call& call);
  Json diff(const Call& call);
  void refuse_writeback(const std::string& volume);
  std::map<VolumeId, std::string> volume_names();
  static void check_reference(const std::string& reference);
  void flush_source(const std::string& reference);

  // control_api_rules.cc
  Json list_rules(const Call& call);
  Json add_rule(const Call& call);
  Json remove_rule(const Call& call);
  VolumeRules& rules();

  // control_api_check.cc
  Json start_scrub(const Call& call);
  Json stop_scrub(const Call& call);
  Json scrub_status(const Call& call);
  Json removal_space(const Call& call);

  // control_api_daemon.cc
  Json version(const Call& call);
  Json status(const Call& call);
  Json describe_memory() const;
  Json df(const Call& call);
  Json sync(const Call& call);
  Json list_mounts(const Call& call);
  Json mount(const Call& call);
  Json unmount(const Call& call);
  Json stop(const Call& call);

  // control_api_upgrade.cc
  Json upgrade(const Call& call);
  Json describe_keeper() const;
  LiveMounts& mounts();

  Repository& repository_;
  LiveMounts* const mounts_;
  const Hooks hooks_;
};

}  // namespace varve
