// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "mountd/cli/age.h"
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/daemon.h"
#include "mountd/life_lock.h"
#include "mountd/plugin/plugin_service.h"
#include "mountd/store_location.h"
#include "store/base/disk.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr unsigned kMaxIdleSeconds = 1'000'000;

constexpr std::array kDaemonRunOptions{
    Option{'f', "foreground", nullptr, "Stay in the foreground and log to standard error"},
    Option{0, "idle-exit", "SECONDS", "End after so long without mounts and requests; 0: never"},
    Option{0, "plugin", nullptr,
           "Serve container engines on /run/docker/plugins/varve.sock as a volume plugin"},
    Option{0, "plugin-socket", "SOCKET", "Serve them on this socket (may be repeated)"},
    Option{
        0, "purge-after", "AGE",
        "Remove volumes for good that are in the trash for so long, such as 30d; default: never"},
    Option{0, "no-keeper", nullptr, "Mounts end with the daemon when it is killed"},
    Option{
        0, "keeper-socket", "SOCKET",
        "Mounts are held by 'varve daemon keep SOCKET'; for service managers, with --foreground"},
    Option{0, "ready-fd", "FD", ""},
    Option{0, "keeper-fd", "FD", ""},
    Option{0, "log-file", nullptr, ""},
};

std::vector<std::string> plugin_sockets(const Invocation& invocation) {
  std::vector<std::string> sockets;
  if (invocation.flag("plugin")) sockets.emplace_back(kDefaultPluginSocket);
  for (const std::string& path : invocation.values("plugin-socket")) {
    if (path.empty()) throw UsageError("--plugin-socket is empty; give it a path");
    sockets.push_back(std::filesystem::absolute(path).lexically_normal().string());
  }
  return sockets;
}

bool wants_keeper(const Invocation& invocation) {
  const char* variable = std::getenv("VARVE_KEEPER");
  const std::string word = variable == nullptr || *variable == '\0' ? "yes" : variable;
  if (word != "yes" && word != "no")
    throw UserError(EINVAL, "VARVE_KEEPER is '" + word + "'; it can be yes or no");
  return word == "yes" && !invocation.flag("no-keeper");
}

/// What was chosen, as words for another `daemon run`.
std::vector<std::string> words_for(const DaemonOptions& options) {
  std::vector<std::string> words;
  for (const std::string& socket : options.plugin_sockets)
    words.insert(words.end(), {"--plugin-socket", socket});
  if (options.purge_after_seconds != 0)
    words.insert(words.end(), {"--purge-after", std::to_string(options.purge_after_seconds) + "s"});
  if (!options.keeper) words.emplace_back("--no-keeper");
  return words;
}

/// The words that start the daemon after this one.
std::vector<std::string> successor_of(const DaemonOptions& options) {
  std::vector<std::string> words = {"--store",     options.store,
                                    "daemon",      "run",
                                    "--idle-exit", std::to_string(options.idle_exit_seconds)};
  for (std::string& word : words_for(options)) words.push_back(std::move(word));
  if (options.log_to_file) words.emplace_back("--log-file");
  return words;
}

/// Nothing but the socket is kept of what was inherited.
void close_above(int socket) { ::close_range(static_cast<unsigned>(socket) + 1, ~0u, 0); }

/// As a process of `start_daemon`.
void serve_detached(DaemonOptions& options, int ready_socket) {
  close_above(ready_socket);
  options.ready_socket = ready_socket;
  options.log_to_file = true;
  options.successor = successor_of(options);
  run_daemon(options);
}

/// As a process of the keeper.
void serve_after_another(DaemonOptions& options, int keeper_socket, bool log_to_file) {
  close_above(keeper_socket);
  options.keeper_socket = keeper_socket;
  options.log_to_file = log_to_file;
  options.successor = successor_of(options);
  run_daemon(options);
}

int run_daemon_run(const Invocation& invocation) {
  DaemonOptions options;
  options.store = store_location(invocation.store);
  options.idle_exit_seconds = invocation.number("idle-exit", kMaxIdleSeconds).value_or(0);
  options.plugin_sockets = plugin_sockets(invocation);
  if (const auto age = invocation.value("purge-after"))
    options.purge_after_seconds = parse_age_seconds(*age);
  options.keeper = wants_keeper(invocation);
  if (const auto fd = invocation.number("keeper-fd", 1023)) {
    serve_after_another(options, static_cast<int>(*fd), invocation.flag("log-file"));
    return kOk;
  }
  if (const auto fd = invocation.number("ready-fd", 1023)) {
    serve_detached(options, static_cast<int>(*fd));
    return kOk;
  }
  if (invocation.value("keeper-socket") && (!options.keeper || !invocation.flag("foreground")))
    throw UsageError("--keeper-socket needs --foreground, and no --no-keeper");
  if (!invocation.flag("foreground")) {
    refuse_if_served(options.store, " already");
    Service(invocation).require_daemon(options.idle_exit_seconds, words_for(options));
    return kOk;
  }
  if (!Store::exists(Disk::host(), options.store))
    make_store_parent(options.store, store_is_default(invocation.store));
  options.successor = successor_of(options);
  if (const auto socket = invocation.value("keeper-socket"))
    options.standing_keeper = std::filesystem::absolute(*socket).string();
  run_daemon(options);
  return kOk;
}

}  // namespace

const Command kDaemonRun{
    "daemon",
    "run",
    "",
    "Start the daemon of a store",
    "'varve mount' starts one when none runs; this command is for service managers and for those "
    "who\n"
    "want it to stay. Returns when the daemon is ready, or serves until it ends with --foreground.",
    kDaemonRunOptions,
    0,
    0,
    run_daemon_run};

}  // namespace varve::cli
