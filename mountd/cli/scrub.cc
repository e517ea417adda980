// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "mountd/size_text.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

constexpr std::chrono::milliseconds kLookAgain{100};

constexpr std::array kScrubOptions{
    Option{0, "rate", "SIZE", "Read at most so much a second; 0: no limit (default)"},
    Option{'b', "background", nullptr, "Return at once; the daemon goes on (one must run)"},
    Option{0, "status", nullptr, "Show how far the last pass is and the files it concerns"},
    Option{0, "stop", nullptr, "Interrupt a pass; the next one goes on from there"},
    Option{0, "json", nullptr, "Print JSON, sizes in bytes"},
};

std::string number_of(const Json& value) { return std::to_string(value.get<std::uint64_t>()); }

std::string percent_of(const Json& scrub) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.2f%%", scrub["percent"].get<double>());
  return text.data();
}

std::string file_line(const Json& file) {
  std::string line = file["volume"].get<std::string>();
  std::string where = file["present"].get<bool>() ? "present state" : "";
  for (const Json& snapshot : file["snapshots"]) {
    where += (where.empty() ? "@" : ", @") + snapshot.get<std::string>();
  }
  const std::string path = json_path(file, "path");
  line += ":" + (path.empty() ? "(inode " + number_of(file["inode"]) + ")" : escaped(path));
  line += file["damage"] == "content" ? "  content" : "  cannot be read";
  for (const Json& range : file["ranges"]) {
    line += " " + number_of(range["offset"]) + "+" + number_of(range["size"]);
  }
  return line + "  (" + where + (file["trashed"].get<bool>() ? ", in the trash" : "") + ")";
}

void print_pass(const Json& scrub) {
  const std::string state = scrub["state"];
  if (state == "never") {
    print_line("scrub:      never run");
    return;
  }
  print_line("scrub:      " + state + ", " + percent_of(scrub));
  if (!scrub["failure"].get<std::string>().empty())
    print_line("failure:    " + scrub["failure"].get<std::string>());
  print_line("started:    " + scrub["started"].get<std::string>());
  if (!scrub["finished"].is_null())
    print_line("finished:   " + scrub["finished"].get<std::string>());
  print_line("checked:    " + number_of(scrub["objects"]) + " objects, " +
             size_text(scrub["bytes"].get<std::uint64_t>()));
  print_line("repaired:   " + number_of(scrub["repaired"]) + " objects, " +
             number_of(scrub["mended"]) + " parts of files");
  print_line("damaged:    " + number_of(scrub["unrepaired"]));
  for (const Json& finding : scrub["findings"]) {
    print_line("  " + escaped(finding["what"].get<std::string>()) +
               (finding["mended"].get<bool>() ? " (repaired)" : ""));
  }
  for (const Json& file : scrub["files"]) print_line("  " + file_line(file));
}

int status_of_pass(const Json& scrub) {
  const std::string state = scrub["state"];
  if (state == "failed" || scrub["unrepaired"].get<std::uint64_t>() != 0 ||
      !scrub["files"].empty()) {
    return kDamaged;
  }
  const bool repaired =
      scrub["repaired"].get<std::uint64_t>() != 0 || scrub["mended"].get<std::uint64_t>() != 0;
  return repaired ? kRepaired : kOk;
}

/// Waits until the pass has ended. On a terminal the progress is one line that changes.
void wait_for_end(Service& service) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  for (;;) {
    const Json scrub = service.call("GET", "/v1/scrub");
    if (scrub["state"] != "running") break;
    if (terminal) {
      std::fprintf(stderr, "\r%s, %s checked ", percent_of(scrub).c_str(),
                   size_text(scrub["bytes"].get<std::uint64_t>()).c_str());
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  if (terminal) std::fprintf(stderr, "\r%40s\r", "");
}

int run_scrub(const Invocation& invocation) {
  const bool background = invocation.flag("background");
  const bool only_look = invocation.flag("status");
  const bool stop = invocation.flag("stop");
  if (background + only_look + stop > 1)
    throw UsageError("--background, --status and --stop exclude each other");
  const auto rate = invocation.value("rate");
  Json request = Json::object();
  if (rate) request["rate"] = parse_size(*rate);

  Service service(invocation, Absent::kFail);
  if (background && !service.connect())
    throw UserError(ECONNREFUSED, "no daemon runs for store " + service.store() +
                                      "; start one (varve daemon run), or leave --background away");
  if (stop) {
    service.call("DELETE", "/v1/scrub");
  } else if (!only_look) {
    service.call("POST", "/v1/scrub", request);
    if (background) {
      print_line("scrub runs in the daemon; 'varve scrub --status' shows how far it is");
      return kOk;
    }
    wait_for_end(service);
  }
  const Json scrub = service.call("GET", "/v1/scrub?files=1");
  if (invocation.flag("json")) {
    print_json(scrub);
  } else {
    print_pass(scrub);
  }
  return status_of_pass(scrub);
}

}  // namespace

const Command kScrub{
    "",
    "scrub",
    "",
    "Read everything back, repair what is damaged, name the files of what cannot be",
    "Goes on with a pass that was interrupted. A daemon makes the pass and goes on with it if "
    "this\n"
    "command is interrupted; without one the command makes it. Exit status 10 says that damage "
    "was\n"
    "found and all of it repaired, 5 that some is left: reading those bytes is an error, and "
    "writing\n"
    "the same content again, anywhere in the store, repairs them.",
    kScrubOptions,
    0,
    0,
    run_scrub};

}  // namespace varve::cli
