// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mountd/fuse_mount.h"
#include "store/base/error.h"
#include "store/base/mutex.h"

namespace varve::test {

/// A mount without a kernel: it lives until it is unmounted or end() plays an outside unmount, and
/// notes what it was asked. Safe to share between threads.
class FakeFuseMount : public FuseMount {
 public:
  /// What the mounts of one test have in common; outlives them.
  struct World {
    Mutex mutex;
    std::vector<std::string> calls GUARDED_BY(mutex);  ///< "flush VOLUME", "unmount VOLUME" ...
    std::vector<FakeFuseMount*> mounts GUARDED_BY(mutex);
    bool busy GUARDED_BY(mutex) = false;         ///< kRefuse is refused
    bool lingering GUARDED_BY(mutex) = false;    ///< kDetach leaves users behind
    bool unreachable GUARDED_BY(mutex) = false;  ///< flush_kernel cannot reach the mount point

    std::vector<std::string> take_calls() {
      const MutexLock lock(mutex);
      return std::exchange(calls, {});
    }
    void set(bool World::*field, bool value) NO_THREAD_SAFETY_ANALYSIS {
      const MutexLock lock(mutex);
      this->*field = value;
    }
    FakeFuseMount& newest() {
      const MutexLock lock(mutex);
      return *mounts.back();
    }
  };

  FakeFuseMount(World& world, std::shared_ptr<Volume> volume, Options options)
      : world_(world), options_(std::move(options)), volume_(std::move(volume)) {
    const MutexLock lock(world_.mutex);
    world_.mounts.push_back(this);
  }

  void unmount(Busy how) override {
    {
      const MutexLock lock(world_.mutex);
      world_.calls.push_back("unmount " + options_.volume);
      if (how == Busy::kRefuse && world_.busy)
        throw UserError(EBUSY, options_.mountpoint + " is in use");
      if (how == Busy::kDetach && world_.lingering) return;
    }
    end();
  }

  /// The mount ends, as when somebody runs umount(8).
  void end() {
    const MutexLock lock(mutex_);
    volume_.reset();
    ended_.notify_all();
  }

  void wait() override {
    const MutexLock lock(mutex_);
    while (volume_ != nullptr) ended_.wait(mutex_);
  }
  bool alive() const override {
    const MutexLock lock(mutex_);
    return volume_ != nullptr;
  }
  bool flush_kernel() override {
    const MutexLock lock(world_.mutex);
    world_.calls.push_back("flush " + options_.volume);
    return !world_.unreachable;
  }
  void invalidate(std::shared_ptr<const VolumeChanges>) override { note("invalidate "); }
  void finish_invalidation() override { note("finish "); }
  Figures figures() const override { return {{{"lookup", 3}, {"read", 4}}, 1, 2}; }
  Transport transport() const override { return options_.transport; }
  const Options& options() const override { return options_; }

 private:
  void note(const char* what) {
    const MutexLock lock(world_.mutex);
    world_.calls.push_back(what + options_.volume);
  }

  World& world_;
  const Options options_;
  mutable Mutex mutex_;
  CondVar ended_;
  std::shared_ptr<Volume> volume_ GUARDED_BY(mutex_);
};

}  // namespace varve::test
