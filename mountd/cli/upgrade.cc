// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/store_location.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

/// The new daemon may have to make the index anew.
constexpr std::chrono::seconds kReadyWait{300};

std::string program_of(const Invocation& invocation) {
  if (invocation.arguments.empty()) return std::filesystem::read_symlink("/proc/self/exe").string();
  std::error_code error;
  const std::filesystem::path given = invocation.arguments[0];
  const std::filesystem::path found = std::filesystem::canonical(given, error);
  return (error ? std::filesystem::absolute(given) : found).string();
}

/// What the daemon after `old_pid` says of itself.
Json wait_for_successor(Service& service, const Json& old_pid) {
  const auto give_up = std::chrono::steady_clock::now() + kReadyWait;
  while (std::chrono::steady_clock::now() < give_up) {
    const std::optional<Json> status = service.ask_daemon("/v1/status");
    if (status && (*status)["daemon"]["pid"] != old_pid &&
        !(*status)["keeper"]["last_pause_ms"].is_null())
      return *status;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw StoreError(ETIMEDOUT, "no daemon answers since the upgrade began; see " +
                                  daemon_log_path(service.store()));
}

int run_upgrade(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  if (!service.connect_to_running())
    throw UserError(ENOENT, "no daemon runs for store " + service.store() +
                                "; the next one is the program that starts it");
  const Json before = service.call("POST", "/v1/upgrade", {{"program", program_of(invocation)}});
  const Json after = wait_for_successor(service, before["pid"]);
  const auto failure = after["keeper"]["upgrade_failure"].get<std::string>();
  if (!failure.empty())
    throw UserError(ECANCELED, "the upgrade failed and the old program goes on: " + failure);
  const auto pause = static_cast<long>(after["keeper"]["last_pause_ms"].get<double>());
  print_line("version " + before["version"].get<std::string>() + " to " +
             after["daemon"]["version"].get<std::string>() + ", pid " +
             std::to_string(after["daemon"]["pid"].get<long>()) + ", after a pause of " +
             std::to_string(pause) + " ms");
  return kOk;
}

}  // namespace

const Command kUpgrade{
    "",
    "upgrade",
    "[PROGRAM]",
    "Replace the running daemon by another program, under the mounts",
    "PROGRAM is the new varve, by default the one that runs this command. Programs keep their "
    "files\n"
    "open and wait for a moment. If the new program does not come up, the old one goes on and the\n"
    "command fails.",
    {},
    0,
    1,
    run_upgrade};

}  // namespace varve::cli
