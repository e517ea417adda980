// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/volume_changes.h"
#include "store/base/mutex.h"

namespace varve {

/// What the kernel may hold of one volume: which inodes, and on kernels without epochs (before
/// Linux 6.16) which names. All timeouts are infinite, so when the volume changes from below
/// (live rollback) the kernel must be told what differs; everything else it holds stays right. A
/// thread of its own tells it, because the kernel waits inside a notification for pages that are
/// being written and for directories that are being searched, and those may wait for us.
///
/// Names come before inodes. A name's notification waits until lookups under way in its directory
/// are finished: an inode that such a lookup brings in with its old attributes exists by then, and
/// the inode's own notification makes them stale.
///
/// An inode once seen is known for the life of the connection: a FORGET can cross a lookup of the
/// same inode, and telling the kernel about one it does not know costs a microsecond. One bit each.
///
/// Safe to share between threads.
class FuseKernelCache {
 public:
  /// Writes one notification to the kernel; returns 0 or the errno.
  using Notify = std::function<int(ByteView)>;
  /// `max_names`: more are dropped from the kernel's cache and forgotten here.
  explicit FuseKernelCache(Notify notify, std::size_t max_names = 1u << 20);
  ~FuseKernelCache() { stop(); }
  FuseKernelCache(const FuseKernelCache&) = delete;
  FuseKernelCache& operator=(const FuseKernelCache&) = delete;

  /// The kernel can make all names stale at once; then names need not be remembered. Before the
  /// first name.
  void set_has_epochs(bool has_epochs) { has_epochs_.store(has_epochs); }

  /// The kernel was told of inodes and names by an earlier process: it may know any. On kernels
  /// without epochs a rollback whose changes cannot be read is then answered with an error in the
  /// log, because names that are not known cannot be dropped.
  void resume() { resumed_.store(true); }

  /// Call before the reply that tells the kernel of the inode.
  void saw(Ino ino);
  /// Also for names that do not exist: the kernel caches their absence.
  void saw_name(Ino parent, std::string_view name);

  /// Drops what the kernel holds of a directory, its cached listing included, at once. Not for
  /// files: a page of theirs may be waiting for an answer of ours.
  void drop(Ino directory);

  /// Drops `changes` from the kernel's cache in the background, or everything when there are none
  /// or they cannot be read. Never blocks for long.
  void begin_invalidation(std::shared_ptr<const VolumeChanges> changes);
  /// Returns when every invalidation begun so far is done, or the cache was stopped.
  void finish_invalidation();
  /// Sends no more notifications; begun ones are done when it returns.
  void stop();

  std::uint64_t notifications() const { return notifications_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kInosPerPage = 512;
  struct Shard {
    Mutex mutex;
    std::unordered_map<std::uint64_t, std::bitset<kInosPerPage>> pages GUARDED_BY(mutex);
  };
  using Names = std::unordered_map<std::uint64_t, std::unordered_set<std::string>>;

  void work();
  void start_worker() REQUIRES(mutex_);
  void drop(const std::vector<std::shared_ptr<const VolumeChanges>>& invalidations);
  void drop_everything();
  void drop_changes(const VolumeChanges& changes);
  bool has_seen(Ino ino);
  void drop_inodes();
  void drop_names(const Names& names);
  int send(ByteView notification);

  const Notify notify_;
  const std::size_t max_names_;
  std::atomic<bool> has_epochs_{false};
  std::atomic<bool> resumed_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> notifications_{0};
  std::array<Shard, kShards> shards_;

  Mutex mutex_;
  CondVar changed_;
  std::thread worker_ GUARDED_BY(mutex_);
  Names names_ GUARDED_BY(mutex_);
  std::size_t name_count_ GUARDED_BY(mutex_) = 0;
  Names overflow_ GUARDED_BY(mutex_);  ///< names to drop from the kernel
  std::vector<std::shared_ptr<const VolumeChanges>> begun_ GUARDED_BY(mutex_);  ///< to be done
  std::uint64_t wanted_ GUARDED_BY(mutex_) = 0;  ///< invalidations begun
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;
};

}  // namespace varve
