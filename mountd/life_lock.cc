// SPDX-License-Identifier: Apache-2.0
#include "mountd/life_lock.h"

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

std::string daemon_lock_path(const std::string& store) { return store + "/daemon.lock"; }

}  // namespace

Descriptor hold_life_lock(const std::string& path) {
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) throw_errno("open " + path);
  struct flock shared = first_byte(F_RDLCK);
  if (::fcntl(lock.get(), F_OFD_SETLK, &shared) != 0) throw_errno("lock " + path);
  return lock;
}

bool is_life_lock_held(const std::string& path) {
  const Descriptor lock(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!lock) return false;  // there never was one, or the store's own checks say more
  struct flock wanted = first_byte(F_WRLCK);
  return ::fcntl(lock.get(), F_OFD_GETLK, &wanted) == 0 && wanted.l_type != F_UNLCK;
}

Descriptor hold_daemon_lock(const std::string& store) {
  return hold_life_lock(daemon_lock_path(store));
}

bool has_daemon(const std::string& store) { return is_life_lock_held(daemon_lock_path(store)); }

void refuse_if_served(const std::string& store, const std::string& remedy) {
  if (has_daemon(store)) throw UserError(EBUSY, "a daemon serves store " + store + remedy);
}

}  // namespace varve
