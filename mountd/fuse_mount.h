// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "fs/id_map.h"
#include "fs/volume.h"
#include "fs/volume_changes.h"
#include "mountd/fuse_handshake.h"

namespace varve {

/// One volume (or snapshot) served to the kernel at one mount point, from the mount(2) call to the
/// end of the connection. Owns the connection to /dev/fuse, the threads that answer its requests
/// and a share of the volume, which it drops when the connection ends: the kernel sends no FORGET
/// for what it knew at an unmount.
///
/// A mount ends when somebody unmounts it (this object, umount(8), a lazy unmount whose last user
/// leaves) or when the kernel aborts the connection; then alive() is false and wait() returns.
/// Safe to share between threads, but no method may be called from inside the volume.
class FuseMount {
 public:
  /// kPlain: reads and writes of /dev/fuse. kUring: requests through io_uring, which a keeper
  /// cannot take over after a crash.
  enum class Transport { kPlain, kUring };

  struct Options {
    std::string
        mountpoint;      ///< an existing directory; relative paths start at the working directory
    std::string volume;  ///< for messages, and fsname when that is empty
    std::string fsname;  ///< the first column of df and /proc/mounts; empty: "varve#VOLUME"
    bool read_only = false;           ///< implied by a read-only volume
    bool allow_other = false;         ///< other users may enter; root's mounts usually want it
    bool default_permissions = true;  ///< the kernel checks modes and ACLs
    bool nosuid = false;              ///< forced for unprivileged users, as is nodev
    bool nodev = false;
    bool noexec = false;
    bool noatime = false;
    bool noxattr = false;  ///< extended attributes and ACLs are refused (EOPNOTSUPP)
    /// POSIX ACLs are kept and checked, else refused; needs default_permissions and xattrs. Since
    /// Linux 6.18.42 (and 6.12.101) the kernel does not cache the ACL of a FUSE mount's root
    /// directory: users who do not own that directory pay one small request for each path they walk
    /// through it.
    bool acl = true;
    bool snapshots = true;  ///< what `varve status` shows; the volume is given with them or without
    IdMapping ids;          ///< how owners are shown
    bool writeback = false;  ///< the kernel collects small writes; see docs/operations.md
    Transport transport = Transport::kPlain;
    unsigned max_threads = 16;       ///< FUSE workers at most; they start when needed
    unsigned max_slow_threads = 64;  ///< callers of fsync, and of writes that wait, served at once
  };

  /// What the mount has answered since it began.
  struct Figures {
    std::map<std::string, std::uint64_t> requests;  ///< by type in lower case ("lookup"); no zeros
    std::uint64_t failures = 0;  ///< answered with an errno that is not an everyday one (EIO, ...)
    std::uint64_t notifications = 0;  ///< invalidations sent to the kernel
  };

  /// Mounts and serves; on return the mount point shows the volume. UserError with a sentence when
  /// the mount point is missing, no directory or a mount already, when /dev/fuse is missing or
  /// refused, when fusermount3 (which mounts for unprivileged users) refuses (its own words are
  /// kept), and when the transport is not available.
  static std::unique_ptr<FuseMount> mount(std::shared_ptr<Volume> volume, Options options);

  /// Detaches the mount point and ends the connection; requests that are being answered are
  /// finished, processes that still use the mount get ENOTCONN afterwards.
  virtual ~FuseMount() = default;

  /// How unmount treats processes that use the mount.
  enum class Busy {
    kRefuse,  ///< UserError(EBUSY), nothing changes
    kDetach,  ///< the mount point goes at once, the connection when the last user has left
    kAbort,   ///< both go at once; what the users call afterwards is ENOTCONN
  };
  /// Takes the mount point away. The kernel's dirty pages reach the volume before it returns,
  /// except with kAbort. Does nothing when the mount has ended. Other mount namespaces (containers)
  /// may hold the mount after this; wait() returns when they have left too.
  virtual void unmount(Busy busy = Busy::kRefuse) = 0;

  /// Returns when the mount has ended and the volume was dropped.
  virtual void wait() = 0;
  /// False from the end of the connection on.
  virtual bool alive() const = 0;

  /// Pushes what programs have written, mmap stores included, from the kernel into the volume, and
  /// returns when every WRITE that the kernel had for us at the call was answered. Call it before
  /// a snapshot's cut. Never from a FUSE worker. False if the mount point cannot be reached
  /// (detached, or something is mounted over it): then only what was written with write(2) is in
  /// the volume. StoreError when dirty pages could not be written, such as ENOSPC: the kernel has
  /// dropped them.
  virtual bool flush_kernel() = 0;

  /// Makes the kernel drop the names, attributes and pages it holds of `changes` (of everything if
  /// there are none), because the volume below has changed (live rollback). May be called while
  /// the volume holds its changes up: it only begins.
  virtual void invalidate(std::shared_ptr<const VolumeChanges> changes) = 0;
  /// Returns when everything that invalidate() began is done: from here programs see the new
  /// state everywhere. Call it after the volume accepts changes again.
  virtual void finish_invalidation() = 0;

  /// A connection that another process can serve.
  struct Connection {
    int descriptor = -1;       ///< of /dev/fuse
    std::uint64_t device = 0;  ///< st_dev of everything in the mount
    FuseAgreement agreement;
  };
  /// Serves a mount that an earlier process has made and served until it died: what that has not
  /// answered is answered when this returns. `volume` was resumed. Takes connection.descriptor
  /// over, even when it throws. StoreError with a sentence.
  static std::unique_ptr<FuseMount> resume(std::shared_ptr<Volume> volume, Options options,
                                           const Connection& connection);
  /// For a process after this one; the descriptor is this mount's, to be duplicated at once. None
  /// when the mount has ended.
  virtual std::optional<Connection> connection() const { return std::nullopt; }
  /// Why no other process can take the connection over; empty if one can.
  virtual std::string why_not_kept() const { return "it is not a kernel's mount"; }

  virtual Figures figures() const = 0;
  /// The transport in force.
  virtual Transport transport() const = 0;
  /// As given, with the mount point made absolute and fsname filled in.
  virtual const Options& options() const = 0;
};

}  // namespace varve
