// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"

namespace varve::cli {
namespace {

int run_version(const Invocation&) {
  print_line("varve " VARVE_VERSION);
  return kOk;
}

}  // namespace

const Command kVersion{"", "version", "", "Print the version", "", {}, 0, 0, run_version};

}  // namespace varve::cli
