// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/size_text.h"

namespace varve::cli {
namespace {

constexpr std::array kStatusOptions{
    Option{0, "json", nullptr, "Print JSON, sizes in bytes"},
};

std::string bytes(const Json& value) { return size_text(value.get<std::uint64_t>()); }
std::string count(const Json& value) { return std::to_string(value.get<std::uint64_t>()); }

void print_mount(const Json& mount) {
  print_line("  " + mount["target"].get<std::string>() + " at " +
             escaped(mount["mount_point"].get<std::string>()) + " (" +
             mount["options"].get<std::string>() + ")" +
             (mount["detached"].get<bool>() ? ", detached and still in use" : ""));
  if (!mount["kept"].get<bool>())
    print_line("    ends with the daemon: " + mount["why_not_kept"].get<std::string>());
  std::string requests;
  for (const auto& [type, number] : mount["requests"].items())
    requests += (requests.empty() ? "" : ", ") + type + " " + count(number);
  print_line("    requests: " + count(mount["requests_total"]) +
             (requests.empty() ? "" : " (" + requests + ")") +
             ", failures: " + count(mount["failures"]));
}

std::string keeper_line(const Json& keeper) {
  if (keeper.is_null()) return "none: mounts end with the daemon when it is killed";
  const auto problem = keeper["problem"].get<std::string>();
  if (!keeper["running"].get<bool>())
    return problem.empty() ? "starts with the first mount" : "none: " + problem;
  std::string line = "pid " + count(keeper["pid"]) + ", takeovers: " + count(keeper["takeovers"]);
  if (!keeper["last_pause_ms"].is_null())
    line += ", the last one took " +
            std::to_string(static_cast<long>(keeper["last_pause_ms"].get<double>())) + " ms";
  return line;
}

void print_status(const Json& status) {
  const Json& journal = status["journal"];
  const Json& cache = status["cache"];
  print_line("store:      " + status["store"]["path"].get<std::string>());
  print_line("id:         " + status["store"]["id"].get<std::string>());
  print_line("daemon:     " + (status["daemon"].is_null()
                                   ? std::string("none")
                                   : "pid " + count(status["daemon"]["pid"])));
  if (!status["daemon"].is_null()) print_line("keeper:     " + keeper_line(status["keeper"]));
  print_line("state:      " + (status["read_only"].get<bool>()
                                   ? "read-only: " + status["read_only_reason"].get<std::string>()
                                   : std::string("read and write")));
  print_line("volumes:    " + count(status["volumes"]) + ", snapshots: " +
             count(status["snapshots"]) + ", in the trash: " + count(status["trash"]) +
             ", deletions pending: " + count(status["pending_deletions"]));
  print_line("objects:    " + count(status["objects"]) + ", live " + bytes(status["live_bytes"]) +
             ", in segments " + bytes(status["segment_bytes"]));
  if (status["damaged_objects"] != 0)
    print_line("damaged:    " + count(status["damaged_objects"]) +
               " objects; 'varve scrub' repairs what can be and names the files");
  print_line("host:       " + bytes(status["free_bytes"]) + " free of " +
             bytes(status["total_bytes"]));
  print_line("journal:    " + bytes(journal["bytes"]) + " in files of " +
             bytes(journal["file_bytes"]) + ", which may grow to " +
             bytes(journal["capacity_bytes"]) +
             ", device flushes: " + count(status["device_flushes"]));
  print_line("dirty:      " + bytes(status["dirty_bytes"]) + " not committed yet");
  print_line("cache:      " + bytes(cache["bytes"]) + ", hits " + count(cache["hits"]) +
             ", misses " + count(cache["misses"]));
  const Json& memory = status["memory"];
  if (!memory.is_null())
    print_line("memory:     " + bytes(memory["bytes"]) + ", limit " + bytes(memory["limit_bytes"]));
  for (const Json& socket : status["plugin"]["sockets"])
    print_line("plugin:     " + escaped(socket.get<std::string>()));
  print_line("mounts:     " + std::to_string(status["mounts"].size()));
  for (const Json& mount : status["mounts"]) print_mount(mount);
}

int run_status(const Invocation& invocation) {
  Service service(invocation, Absent::kFail);
  const Json status = service.call("GET", "/v1/status");
  if (invocation.flag("json")) {
    print_json(status);
  } else {
    print_status(status);
  }
  return kOk;
}

}  // namespace

const Command kStatus{"",        "status",       "", "Show the store, its daemon and its mounts",
                      "",        kStatusOptions, 0,  0,
                      run_status};

}  // namespace varve::cli
