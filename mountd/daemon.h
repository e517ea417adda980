// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/repository.h"
#include "mountd/live_mounts.h"

namespace varve {

/// The exit status that asks a service manager for another daemon (EX_TEMPFAIL of sysexits.h).
inline constexpr int kNextDaemonStatus = 75;

struct DaemonOptions {
  std::string store;               ///< absolute
  bool create_store = true;        ///< make the store when there is none
  unsigned idle_exit_seconds = 0;  ///< end after so long without mounts and requests; 0: never
  bool log_to_file = false;        ///< standard output and error go to STORE/daemon.log
  int ready_socket = -1;           ///< where report_ready/report_failure go; -1: nowhere
  /// Mount this first and end when it is unmounted (`varve mount --foreground`).
  std::optional<MountRequest> mount;
  /// Where the volume plugin answers container engines; empty: it does not. With it the daemon
  /// does not end of idleness.
  std::vector<std::string> plugin_sockets;
  /// Volumes that are in the trash for so long are removed for good; 0: never.
  std::int64_t purge_after_seconds = 0;
  /// A keeper holds the mounts while the daemon is dead; not with `mount`.
  bool keeper = true;
  std::vector<std::string>
      successor;           ///< the words after "varve" that start a daemon like this one
  int keeper_socket = -1;  ///< this daemon is such a successor; -1: it is none
  /// Where a keeper of its own service (`varve daemon keep`) answers; empty: the daemon starts one.
  std::string standing_keeper;
  RepositoryOptions repository;
};

/// Serves the store: takes its lock, recovers, answers the control socket, and holds the mounts.
/// Returns after SIGTERM or SIGINT, a stop request, or idleness, with everything unmounted and the
/// store closed. To be called once, in the main thread, before any other thread exists. Throws when
/// it cannot start; a waiting starter, or who connected to a socket that a service manager passed,
/// has been told then.
///
/// SIGUSR1 ends it as well and leaves the mounts to a standing keeper, for a restart. The process
/// ends with kNextDaemonStatus where another daemon is to follow at once.
void run_daemon(const DaemonOptions& options);

/// Starts a daemon for `store` as a process of its own, detached from the terminal, and returns
/// when it answers the control socket. When another process takes the store first, that one's
/// daemon is as good. Throws the daemon's own reason when it cannot start.
/// `more_words` are further options of `varve daemon run` for it.
void start_daemon(const std::string& store, unsigned idle_exit_seconds,
                  const std::vector<std::string>& more_words = {});

}  // namespace varve
