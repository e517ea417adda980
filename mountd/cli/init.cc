// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "mountd/cli/commands.h"
#include "mountd/cli/exit_status.h"
#include "mountd/cli/output.h"
#include "mountd/store_location.h"
#include "store/base/disk.h"
#include "store/base/error.h"
#include "store/store.h"

namespace varve::cli {
namespace {

int run_init(const Invocation& invocation) {
  std::optional<std::string> given = invocation.store;
  if (!invocation.arguments.empty()) {
    if (given) throw UsageError("the store is given twice, with --store and as an argument");
    given = invocation.arguments[0];
  }
  const std::string store = store_location(given);
  if (Store::exists(Disk::host(), store))
    throw UserError(EEXIST, "there is a store at " + store +
                                " already; use it, or choose another "
                                "directory");
  make_store_parent(store, store_is_default(given));
  Store::create(Disk::host(), store, StoreOptions{});
  print_line(store);
  return kOk;
}

}  // namespace

const Command kInit{
    "",
    "init",
    "[PATH]",
    "Make an empty store",
    "The store is made at PATH, or where --store says. Other commands make the store\n"
    "on their first use, so this one is for those who want to choose.\n"
    "Prints the path of the store.",
    {},
    0,
    1,
    run_init};

}  // namespace varve::cli
