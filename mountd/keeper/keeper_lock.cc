// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

/// A lock of the open file, which duplicates of the descriptor share.
struct flock first_byte(short type) {
  struct flock out {};
  out.l_type = type;
  out.l_whence = SEEK_SET;
  out.l_len = 1;
  return out;
}

std::string lock_path(const std::string& store) { return store + "/keeper.lock"; }

}  // namespace

Descriptor hold_keeper_lock(const std::string& store) {
  const std::string path = lock_path(store);
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) throw_errno("open " + path);
  struct flock shared = first_byte(F_RDLCK);
  if (::fcntl(lock.get(), F_OFD_SETLK, &shared) != 0) throw_errno("lock " + path);
  return lock;
}

bool has_keeper(const std::string& store) {
  const Descriptor lock(::open(lock_path(store).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!lock) return false;  // there never was one, or the store's own checks say more
  // Only asks: two who take a lock to find out would find each other.
  struct flock wanted = first_byte(F_WRLCK);
  return ::fcntl(lock.get(), F_OFD_GETLK, &wanted) == 0 && wanted.l_type != F_UNLCK;
}

void refuse_if_kept(const std::string& store) {
  if (!has_keeper(store)) return;
  throw UserError(EBUSY, "the daemon of store " + store +
                             " has ended and its keeper starts another one; try again in a moment");
}

}  // namespace varve
