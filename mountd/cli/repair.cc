// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "fs/repository.h"
#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/offline_store.h"
#include "mountd/cli/output.h"
#include "store/base/disk.h"

namespace varve::cli {
namespace {

constexpr std::array kRepairOptions{
    Option{0, "drop-damaged-journal", nullptr,
           "Give up what a damaged journal holds after the damage"},
};

int run_repair(const Invocation& invocation) {
  const std::string store = offline_store(invocation);
  RepositoryOptions options;
  options.background = false;
  options.store.drop_damaged_journal = invocation.flag("drop-damaged-journal");
  const auto repository = Repository::open(Disk::host(), store, false, options);
  const std::size_t volumes = repository->volumes().size();
  repository->close();
  print_line("store " + store + " opens and is clean: " + std::to_string(volumes) + " volume(s)");
  return kOk;
}

}  // namespace

const Command kRepair{
    "",
    "repair",
    "",
    "Recover a store that no daemon serves",
    "Opens the store, which replays the journal and rebuilds a missing or damaged index. A "
    "damaged\n"
    "journal is refused unless --drop-damaged-journal accepts the loss of what follows the damage.",
    kRepairOptions,
    0,
    0,
    run_repair};

}  // namespace varve::cli
