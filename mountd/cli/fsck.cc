// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "fs/repository.h"
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/offline_store.h"
#include "mountd/cli/output.h"
#include "mountd/cli/service.h"
#include "store/base/disk.h"

namespace varve::cli {
namespace {

constexpr std::array kFsckOptions{
    Option{0, "repair", nullptr, "Make the index and its counts anew if there are problems"},
    Option{0, "json", nullptr, "Print JSON"},
};

Json describe_report(const FsckReport& report) {
  return {{"problems", report.problems}, {"problem_count", report.problem_count},
          {"repaired", report.mended},   {"trees", report.trees},
          {"nodes", report.nodes},       {"inodes", report.inodes},
          {"objects", report.objects}};
}

void print_report(const FsckReport& report) {
  for (const std::string& line : report.mended) print_line("repaired: " + escaped(line));
  for (const std::string& line : report.problems) print_line("problem: " + escaped(line));
  if (report.problem_count > report.problems.size())
    print_line("and " + std::to_string(report.problem_count - report.problems.size()) +
               " more problems");
  print_line(std::to_string(report.trees) + " trees, " + std::to_string(report.nodes) + " nodes, " +
             std::to_string(report.inodes) + " inodes, " + std::to_string(report.objects) +
             " objects: " + std::to_string(report.problem_count) + " problem(s), " +
             std::to_string(report.mended.size()) + " repaired");
}

int run_fsck(const Invocation& invocation) {
  const std::string store = offline_store(invocation);
  RepositoryOptions options;
  options.background = false;
  options.commit_interval_ms = 0;
  const FsckReport report = check_store(Disk::host(), store, options, invocation.flag("repair"));
  if (invocation.flag("json")) {
    print_json(describe_report(report));
  } else {
    print_report(report);
  }
  if (report.problem_count != 0) return kDamaged;
  return report.mended.empty() ? kOk : kRepaired;
}

}  // namespace

const Command kFsck{
    "",
    "fsck",
    "",
    "Check a whole store that no daemon serves",
    "Trees, births, link counts, orphans, the catalog, the index against segments and against a\n"
    "recount of all references, and the frames of all files. Contents are not read: see 'varve\n"
    "scrub'. Opening the store replays its journal; nothing else is changed without --repair, "
    "except\n"
    "that damaged superblocks, headers and footers are written anew. Exit status 0: clean, 10: "
    "all\n"
    "problems were repaired, 5: problems are left.",
    kFsckOptions,
    0,
    0,
    run_fsck};

}  // namespace varve::cli
