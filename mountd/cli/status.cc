// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/size_text.h"

namespace varve::cli {
namespace {

constexpr std::array kOptions{
    Option{0, "json", nullptr, "Print JSON, sizes in bytes"},
};

std::string bytes(const Json& value) { return size_text(value.get<std::uint64_t>()); }
std::string count(const Json& value) { return std::to_string(value.get<std::uint64_t>()); }

void print_mount(const Json& mount) {
  print_line("  " + mount["Target"].get<std::string>() + " at " +
             escaped(mount["Mountpoint"].get<std::string>()) + " (" +
             mount["Options"].get<std::string>() + ")" +
             (mount["Detached"].get<bool>() ? ", detached and still in use" : ""));
  std::string requests;
  for (const auto& [type, number] : mount["Requests"].items())
    requests += (requests.empty() ? "" : ", ") + type + " " + count(number);
  print_line("    requests: " + count(mount["RequestsTotal"]) +
             (requests.empty() ? "" : " (" + requests + ")") + ", failures: " +
             count(mount["Failures"]));
}

void print_status(const Json& status) {
  const Json& journal = status["Journal"];
  const Json& cache = status["Cache"];
  print_line("store:      " + status["Store"]["Path"].get<std::string>());
  print_line("id:         " + status["Store"]["Id"].get<std::string>());
  print_line("daemon:     " + (status["Daemon"].is_null()
                                   ? std::string("none")
                                   : "pid " + count(status["Daemon"]["Pid"])));
  print_line("state:      " + (status["ReadOnly"].get<bool>()
                                   ? "read-only: " + status["ReadOnlyReason"].get<std::string>()
                                   : std::string("read and write")));
  print_line("volumes:    " + count(status["Volumes"]) + ", snapshots: " +
             count(status["Snapshots"]) + ", in the trash: " + count(status["Trash"]) +
             ", deletions pending: " + count(status["PendingDeletions"]));
  print_line("objects:    " + count(status["Objects"]) + ", live " + bytes(status["LiveBytes"]) +
             ", in segments " + bytes(status["SegmentBytes"]));
  print_line("host:       " + bytes(status["FreeBytes"]) + " free of " +
             bytes(status["TotalBytes"]));
  print_line("journal:    " + bytes(journal["Bytes"]) + " of " + bytes(journal["CapacityBytes"]) +
             ", device flushes: " + count(status["DeviceFlushes"]));
  print_line("cache:      " + bytes(cache["Bytes"]) + ", hits " + count(cache["Hits"]) +
             ", misses " + count(cache["Misses"]));
  print_line("mounts:     " + std::to_string(status["Mounts"].size()));
  for (const Json& mount : status["Mounts"]) print_mount(mount);
}

int run(const Invocation& invocation) {
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

const Command kStatus{"", "status", "", "Show the store, its daemon and its mounts", "", kOptions, 0,
                      0, run};

}  // namespace varve::cli
