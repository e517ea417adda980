// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>

#include "mountd/fuse_directory_races.h"
#include "mountd/fuse_handshake.h"
#include "mountd/fuse_kernel_cache.h"
#include "mountd/fuse_mount.h"
#include "mountd/fuse_slow_calls.h"
#include "mountd/fuse_traffic.h"

namespace varve {

/// What the answers of one connection share. Owned by the mount; outlives every request. Its
/// members are safe to share between threads.
struct FuseConnection {
  FuseConnection(std::shared_ptr<Volume> served, FuseMount::Options chosen,
                 FuseKernelCache::Notify notify)
      : volume(std::move(served)),
        options(std::move(chosen)),
        caches(std::move(notify)),
        slow(options.max_slow_threads) {}

  std::shared_ptr<Volume> volume;  ///< null once the connection has ended
  const FuseMount::Options options;
  FuseHandshake handshake;
  FuseTraffic traffic;
  FuseKernelCache caches;
  FuseDirectoryRaces races;
  FuseSlowCalls slow;

  // Agreed on with the kernel at INIT.
  std::atomic<bool> no_open{false};  ///< OPEN may be answered ENOSYS
  std::atomic<bool> no_opendir{false};
  std::atomic<bool> long_setxattr{false};  ///< SETXATTR carries flags
  std::atomic<bool> acl{false};            ///< the kernel checks POSIX ACLs
  std::atomic<bool> uring_agreed{false};

  std::atomic<bool> uring_seen{false};  ///< a request has come through io_uring
  // Being answered by the threads that read requests.
  std::atomic<unsigned> inline_writes{0};
  std::atomic<unsigned> inline_waits{0};  ///< calls that wait for a flush
};

}  // namespace varve
