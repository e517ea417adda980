// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_init.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "mountd/fuse_wire.h"

namespace varve {
namespace {

/// libfuse 3.17 moved the capabilities to 64 bits.
class Offer {
 public:
  explicit Offer(fuse_conn_info& connection) : connection_(connection) {}

  bool has(std::uint64_t capability) const {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    return (connection_.capable_ext & capability) != 0;
#else
    return (connection_.capable & capability) != 0;
#endif
  }
  /// False if the kernel does not have it.
  bool take(std::uint64_t capability) {
    if (!has(capability)) return false;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    fuse_set_feature_flag(&connection_, capability);
#else
    connection_.want |= static_cast<unsigned>(capability);
#endif
    return true;
  }
  void decline(std::uint64_t capability) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    fuse_unset_feature_flag(&connection_, capability);
#else
    connection_.want &= ~static_cast<unsigned>(capability);
#endif
  }

 private:
  fuse_conn_info& connection_;
};

void take_what_saves_calls(Offer& offer) {
  offer.take(FUSE_CAP_ASYNC_READ);
  offer.take(FUSE_CAP_ASYNC_DIO);
  offer.take(FUSE_CAP_PARALLEL_DIROPS);
  offer.take(FUSE_CAP_CACHE_SYMLINKS);
  offer.take(FUSE_CAP_READDIRPLUS);
  offer.take(FUSE_CAP_EXPORT_SUPPORT);
  offer.take(FUSE_CAP_EXPLICIT_INVAL_DATA);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  // Without it the kernel asks for security.capability before every write.
  offer.take(FUSE_CAP_HANDLE_KILLPRIV_V2);
#endif
}

void decline_what_harms(Offer& offer) {
  // The choice between READDIR and READDIRPLUS costs a call when it is wrong.
  offer.decline(FUSE_CAP_READDIRPLUS_AUTO);
  // Nobody else changes the volume; a changed mtime is our own write and no reason to drop pages.
  offer.decline(FUSE_CAP_AUTO_INVAL_DATA);
  // With no_open nobody would truncate: the kernel believes that OPEN has done it.
  offer.decline(FUSE_CAP_ATOMIC_O_TRUNC);
  // Locks stay in the kernel: one host.
  offer.decline(FUSE_CAP_POSIX_LOCKS);
  offer.decline(FUSE_CAP_FLOCK_LOCKS);
  offer.decline(FUSE_CAP_HANDLE_KILLPRIV);
  offer.decline(FUSE_CAP_SPLICE_READ);
  offer.decline(FUSE_CAP_SPLICE_WRITE);
  offer.decline(FUSE_CAP_SPLICE_MOVE);
}

/// VARVE_LARGEST_WRITE, in bytes, stands for a version that agrees on something else with the
/// kernel, so that a test sees what an upgrade to it does.
unsigned largest_write() {
  constexpr unsigned kLargestWrite = 1u << 20;
  const char* variable = std::getenv("VARVE_LARGEST_WRITE");
  const int chosen = variable == nullptr ? 0 : std::atoi(variable);
  return chosen > 0 ? std::min(static_cast<unsigned>(chosen), kLargestWrite) : kLargestWrite;
}

/// With id-mapped mounts, most requests no longer say who asks. Whether setuid and setgid must go
/// is then known from flags alone, which we see without io_uring only.
bool can_serve_idmapped(const FuseConnection& connection) {
  const FuseMount::Options& options = connection.options;
  return options.default_permissions && options.transport == FuseMount::Transport::kPlain &&
         connection.long_setxattr;
}

}  // namespace

void agree(FuseConnection& connection, fuse_conn_info& kernel) {
  Offer offer(kernel);
  take_what_saves_calls(offer);
  decline_what_harms(offer);
  const FuseMount::Options& options = connection.options;
  const bool acl = options.acl && options.default_permissions && !options.noxattr;
  connection.acl = acl && offer.take(FUSE_CAP_POSIX_ACL);
  if (connection.acl) offer.take(FUSE_CAP_DONT_MASK);  // a default ACL replaces the umask
  if (options.writeback && !options.read_only) offer.take(FUSE_CAP_WRITEBACK_CACHE);
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  connection.long_setxattr = offer.take(FUSE_CAP_SETXATTR_EXT);
#endif
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
  if (options.transport == FuseMount::Transport::kUring)
    connection.uring_agreed = offer.take(FUSE_CAP_OVER_IO_URING);
  else
    offer.decline(FUSE_CAP_OVER_IO_URING);
  kernel.no_interrupt = 1;  // every request ends soon by itself
#endif
  if (can_serve_idmapped(connection)) connection.handshake.allow_idmapped_mounts();
  connection.no_open = offer.has(FUSE_CAP_NO_OPEN_SUPPORT);
  connection.no_opendir = offer.has(FUSE_CAP_NO_OPENDIR_SUPPORT);
  connection.caches.set_has_epochs(kernel.proto_minor >= kEpochProtocolMinor);

  kernel.max_write = std::min(kernel.max_write, largest_write());
  // Dirty pages beyond this many requests wait in a second queue, which a STATFS overtakes; the
  // flush before a snapshot is quicker when they do not.
  kernel.max_background = 65535;
  kernel.time_gran = 1;
}

}  // namespace varve
