// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_lock.h"

#include <cerrno>

#include "mountd/life_lock.h"
#include "store/base/error.h"

namespace varve {
namespace {

std::string keeper_lock_path(const std::string& store) { return store + "/keeper.lock"; }

}  // namespace

Descriptor hold_keeper_lock(const std::string& store) {
  return hold_life_lock(keeper_lock_path(store));
}

bool has_keeper(const std::string& store) { return is_life_lock_held(keeper_lock_path(store)); }

void refuse_if_kept(const std::string& store) {
  if (!has_keeper(store)) return;
  throw UserError(EBUSY, "the daemon of store " + store +
                             " has ended and its keeper starts another one; try again in a moment");
}

}  // namespace varve
