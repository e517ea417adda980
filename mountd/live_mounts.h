// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fs/repository.h"
#include "mountd/fuse_mount.h"
#include "mountd/keeper/keeper.h"
#include "mountd/mount_options.h"
#include "store/base/mutex.h"

namespace varve {

/// What to mount where.
struct MountRequest {
  std::string target;       ///< "VOLUME" or "VOLUME@SNAPSHOT"
  std::string mount_point;  ///< absolute
  MountOptions options;
};

/// A mount as lists show it.
struct LiveMount {
  std::string volume;
  std::string snapshot;  ///< empty: the volume itself
  std::string mount_point;
  bool read_only = false;
  bool writeback = false;
  bool detached = false;  ///< the mount point is gone, somebody still uses the files
  std::string options;
  FuseMount::Transport transport{};
  std::int64_t mounted_ns = 0;  ///< since the epoch
  /// Why programs would lose it with the daemon; empty: a keeper holds it.
  std::string why_not_kept;
  FuseMount::Figures figures;

  std::string target() const { return snapshot.empty() ? volume : volume + "@" + snapshot; }
};

/// The mounts that this process serves: each volume at most once (its kernel cache is the only
/// one), each snapshot as often as wanted, read-only. A mount that ends by itself (umount(8),
/// fusermount3 -u) leaves the list and detaches its volume. Safe to share between threads.
class LiveMounts {
 public:
  /// Makes the kernel's mount; tests give another.
  using Mounter =
      std::function<std::unique_ptr<FuseMount>(std::shared_ptr<Volume>, FuseMount::Options)>;

  /// `repository` must outlive this; `store` is its directory, which must not be mounted over.
  /// `keeper` (none: mounts end with this process) must, too.
  LiveMounts(Repository& repository, std::string store, Mounter mounter = &FuseMount::mount,
             Keeper* keeper = nullptr);
  /// Unmounts what is left, by force.
  ~LiveMounts();
  LiveMounts(const LiveMounts&) = delete;
  LiveMounts& operator=(const LiveMounts&) = delete;

  /// Throws UserError with the remedy: mount point unusable, volume unknown or mounted already, no
  /// /dev/fuse, allow_other without permission, ... and then nothing has changed.
  LiveMount mount(const MountRequest& request);

  /// Serves a mount of the daemon before this one on; to be called before any mount(). When it
  /// throws, the mount has ended and its programs get errors, as soon as `volume` is let go, which
  /// frees its unlinked files: a caller that leaves the mount to another process ends before that.
  void resume(KeeperLegacy::Mount legacy, std::shared_ptr<Volume>& volume);

  /// Unmounts what is at `where`, or the one mount of the target of that name. On return the volume
  /// is detached, unless somebody still uses the files of a detached mount: then `detached` is set
  /// in the result. ENOENT if there is no such mount.
  LiveMount unmount(const std::string& where, FuseMount::Busy busy);
  /// Unmounts all, the newest first. Throws at the first that refuses.
  void unmount_all(FuseMount::Busy busy);
  /// Ends every mount, whoever uses it, and waits until all volumes are detached.
  void abort_all();
  /// Takes no more mounts; for a daemon that stops. `open` takes it back.
  void refuse_new(bool refuse);

  std::vector<LiveMount> list() const;
  /// Where the volume (not a snapshot of it) is mounted; empty if it is not.
  std::string mount_point_of(const std::string& volume) const;
  /// True if nothing is mounted.
  bool empty() const;
  /// Waits until nothing is mounted; false if `timeout` passed first.
  bool wait_until_empty(std::chrono::milliseconds timeout);

  /// Pushes the kernel's dirty pages of the volume's mount into the volume. False if some could not
  /// be reached (a detached mount). Nothing to do for what is not mounted.
  bool flush(const std::string& volume);
  bool flush_all();
  /// For rollback: makes the kernel forget what it knows of `changes`.
  void invalidate(const std::string& volume, const std::shared_ptr<const VolumeChanges>& changes);
  void finish_invalidation(const std::string& volume);

 private:
  struct Entry {
    LiveMount about;
    std::shared_ptr<FuseMount> mount;
    std::optional<std::uint64_t> kept;  ///< the keeper's number of it
    KeptMount kept_as;
    std::thread watcher;
    bool ended = false;
  };

  LiveMount mount_locked(const MountRequest& request) REQUIRES(mounting_);
  std::shared_ptr<Volume> attach(const MountRequest& request, LiveMount& about);
  std::shared_ptr<Volume> with_snapshots(std::shared_ptr<Volume> volume, const std::string& name,
                                         const MountOptions& options);
  std::string name_of_volume(const MountRequest& request);
  void refuse_second_mount(const std::string& volume) const;
  void keep(Entry& entry);
  LiveMount add(Entry entry);
  void note_detached(Entry& entry) REQUIRES(mutex_);
  void watch(Entry& entry);
  void reap() REQUIRES(mutex_);
  Entry& find(const std::string& where) REQUIRES(mutex_);
  /// Null once it has been reaped.
  Entry* entry_of(const FuseMount& mount) REQUIRES(mutex_);
  std::vector<std::shared_ptr<FuseMount>> mounts_of(const std::string& volume) const;
  static LiveMount snapshot_of(const Entry& entry);

  Repository& repository_;
  const std::string store_;
  const Mounter mounter_;
  Keeper* const keeper_;
  Mutex mounting_ ACQUIRED_BEFORE(mutex_);  ///< one mount(2) at a time: checks stay true
  mutable Mutex mutex_;
  CondVar changed_;
  bool refuse_new_ GUARDED_BY(mutex_) = false;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  ///< oldest first
};

}  // namespace varve
