// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_kernel_cache.h"

#include <exception>
#include <string>
#include <utility>

#include "mountd/fuse_slow_calls.h"
#include "mountd/fuse_wire.h"
#include "store/base/log.h"

namespace varve {

FuseKernelCache::FuseKernelCache(Notify notify, std::size_t max_names)
    : notify_(std::move(notify)), max_names_(max_names) {}

void FuseKernelCache::saw(Ino ino) {
  const std::uint64_t page = to_integer(ino) / kInosPerPage;
  Shard& shard = shards_[page % kShards];
  MutexLock lock(shard.mutex);
  shard.pages[page].set(to_integer(ino) % kInosPerPage);
}

void FuseKernelCache::saw_name(Ino parent, std::string_view name) {
  if (has_epochs_.load(std::memory_order_relaxed)) return;
  MutexLock lock(mutex_);
  if (!names_[to_integer(parent)].emplace(name).second) return;
  if (++name_count_ <= max_names_) return;
  // Never forget a name that the kernel may still hold: let it go there first.
  for (auto& [directory, names] : names_) overflow_[directory].merge(names);
  names_.clear();
  names_[to_integer(parent)].emplace(name);  // its reply is still to come
  name_count_ = 1;
  start_worker();
}

void FuseKernelCache::drop(Ino directory) { send(notify_invalid_inode(to_integer(directory))); }

void FuseKernelCache::begin_invalidation(std::shared_ptr<const VolumeChanges> changes) {
  MutexLock lock(mutex_);
  if (stopping_.load()) return;
  begun_.push_back(std::move(changes));
  ++wanted_;
  start_worker();
}

void FuseKernelCache::finish_invalidation() {
  MutexLock lock(mutex_);
  const std::uint64_t wanted = wanted_;
  while (done_ < wanted && !stopping_.load()) changed_.wait(mutex_);
}

void FuseKernelCache::stop() {
  std::thread worker;
  {
    MutexLock lock(mutex_);
    stopping_.store(true);
    worker.swap(worker_);
    changed_.notify_all();
  }
  if (worker.joinable()) worker.join();
  MutexLock lock(mutex_);
  begun_.clear();  // what it holds is the repository's
}

void FuseKernelCache::start_worker() {
  if (!worker_.joinable() && !stopping_.load())
    worker_ = start_quiet_thread("fuse-notify", [this] { work(); });
  changed_.notify_all();
}

void FuseKernelCache::work() {
  MutexLock lock(mutex_);
  while (!stopping_.load()) {
    if (wanted_ == done_ && overflow_.empty()) {
      changed_.wait(mutex_);
      continue;
    }
    const std::uint64_t wanted = wanted_;
    const auto invalidations = std::exchange(begun_, {});
    const Names names = std::exchange(overflow_, {});
    lock.unlock();
    drop_names(names);
    drop(invalidations);
    lock.lock();
    done_ = wanted;
    changed_.notify_all();
  }
}

void FuseKernelCache::drop(const std::vector<std::shared_ptr<const VolumeChanges>>& invalidations) {
  for (const auto& changes : invalidations) {
    try {
      if (changes == nullptr) return drop_everything();
      drop_changes(*changes);
    } catch (const std::exception& error) {
      log_warn("fuse", std::string("what a rollback has changed cannot be found, so the kernel "
                                   "forgets everything: ") +
                           error.what());
      return drop_everything();
    }
  }
}

void FuseKernelCache::drop_changes(const VolumeChanges& changes) {
  changes.each_name([&](Ino directory, std::string_view name) {
    if (has_seen(directory)) send(notify_expired_name(to_integer(directory), name));
  });
  changes.each_inode([&](Ino ino) {
    if (has_seen(ino)) send(notify_invalid_inode(to_integer(ino)));
  });
}

bool FuseKernelCache::has_seen(Ino ino) {
  if (ino == kRootIno || resumed_.load(std::memory_order_relaxed)) return true;
  const std::uint64_t page = to_integer(ino) / kInosPerPage;
  Shard& shard = shards_[page % kShards];
  MutexLock lock(shard.mutex);
  const auto found = shard.pages.find(page);
  return found != shard.pages.end() && found->second.test(to_integer(ino) % kInosPerPage);
}

void FuseKernelCache::drop_everything() {
  if (resumed_.load())
    log_error("fuse", "the kernel may show what was there before; unmount and mount again");
  Names names;
  {
    MutexLock lock(mutex_);
    names.swap(names_);
    name_count_ = 0;
  }
  if (has_epochs_.load() && send(notify_new_epoch()) != 0)
    log_error("fuse", "the kernel refuses to look at its names again; unmount and mount again");
  drop_names(names);
  drop_inodes();
}

void FuseKernelCache::drop_inodes() {
  for (Shard& shard : shards_) {
    std::vector<std::uint64_t> inos;
    {
      MutexLock lock(shard.mutex);
      for (const auto& [page, bits] : shard.pages)
        for (std::size_t bit = 0; bit < kInosPerPage; ++bit)
          if (bits.test(bit)) inos.push_back(page * kInosPerPage + bit);
    }
    for (const std::uint64_t ino : inos) send(notify_invalid_inode(ino));
  }
  send(notify_invalid_inode(to_integer(kRootIno)));
}

void FuseKernelCache::drop_names(const Names& names) {
  for (const auto& [directory, some] : names)
    for (const std::string& name : some) send(notify_expired_name(directory, name));
}

int FuseKernelCache::send(ByteView notification) {
  if (stopping_.load()) return 0;
  notifications_.fetch_add(1, std::memory_order_relaxed);
  return notify_(notification);
}

}  // namespace varve
