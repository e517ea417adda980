// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/offline_store.h"

#include <cerrno>

#include "mountd/keeper/keeper_lock.h"
#include "mountd/life_lock.h"
#include "mountd/store_location.h"
#include "store/base/disk.h"
#include "store/base/error.h"
#include "store/store.h"

namespace varve::cli {

std::string offline_store(const Invocation& invocation) {
  std::string store = store_location(invocation.store);
  refuse_if_served(store, "; end it first (varve daemon stop)");
  if (!Store::exists(Disk::host(), store))
    throw UserError(ENOENT, "there is no store at " + store + "; --store names another");
  refuse_if_kept(store);
  return store;
}

}  // namespace varve::cli
