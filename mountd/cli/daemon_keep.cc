// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "mountd/cli/commands.h"
#include "mountd/keeper/standing_keeper.h"
#include "mountd/store_location.h"

namespace varve::cli {
namespace {

int run_daemon_keep(const Invocation& invocation) {
  run_standing_keeper(store_location(invocation.store),
                      std::filesystem::absolute(invocation.arguments[0]).string());
}

}  // namespace

const Command kDaemonKeep{
    "daemon",
    "keep",
    "SOCKET",
    "Hold the mounts of a store's daemon, as a service of its own",
    "For service managers, which start the daemon again when it ends: 'varve daemon run\n"
    "--keeper-socket SOCKET' takes its mounts from here and leaves them here. Serves until a "
    "signal "
    "ends\n"
    "it. Other daemons start a keeper of their own.",
    {},
    1,
    1,
    run_daemon_keep};

}  // namespace varve::cli
