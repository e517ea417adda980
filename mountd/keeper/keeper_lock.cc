// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

std::string lock_path(const std::string& store) { return store + "/keeper.lock"; }

}  // namespace

Descriptor hold_keeper_lock(const std::string& store) {
  const std::string path = lock_path(store);
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) throw_errno("open " + path);
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) != 0) throw_errno("lock " + path);
  return lock;
}

void refuse_if_kept(const std::string& store) {
  const Descriptor lock(::open(lock_path(store).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!lock) return;  // never had one, or the store's own checks say more
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return;
  throw UserError(EBUSY, "the daemon of store " + store +
                             " has ended and its keeper starts another one; try again in a moment");
}

}  // namespace varve
