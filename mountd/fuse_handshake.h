// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "store/base/bytes.h"
#include "store/base/mutex.h"

struct iovec;

namespace varve {

/// What kernel and daemon agreed on when a connection began: the INIT request and its answer, as
/// bytes of /dev/fuse. Another process that takes the connection over must come to the same.
struct FuseAgreement {
  Bytes request;
  Bytes reply;

  /// True if the kernel sends again what was not answered when it is asked to (Linux 6.9).
  bool kernel_resends() const;
  /// The request without what the daemon did not want, so that a newer one cannot want it either.
  Bytes narrowed_request() const;
  /// True if `other`, an answer of another process, asks the kernel for the same.
  bool is_same(ByteView other) const;
};

/// Watches the bytes of one connection for its INIT. Safe to share between threads.
class FuseHandshake {
 public:
  /// Every request and every reply comes by here.
  void saw_request(ByteView request);
  /// True if the reply must not reach the kernel, which had it from an earlier process. Changes the
  /// bytes of the answer to INIT, see allow_idmapped_mounts().
  bool saw_reply(const iovec* parts, int count);

  /// Before INIT is answered: lets the kernel show the mount with other owners (Linux 6.12), if it
  /// offers that. From then on only requests that make files say who asks; all others carry the ids
  /// 2^32-1. libfuse 3.18 knows no capability for it. The mount must have default_permissions:
  /// the kernel ends the connection otherwise.
  void allow_idmapped_mounts();

  /// From here to the next reply, the INIT that is answered is played to us.
  void begin_replay();
  /// What the kernel and the earlier process said, for the one after this.
  void keep(const FuseAgreement& agreement);
  FuseAgreement agreement() const;

 private:
  std::atomic<bool> done_{false};
  mutable Mutex mutex_;
  bool replaying_ GUARDED_BY(mutex_) = false;
  bool allows_idmap_ GUARDED_BY(mutex_) = false;
  FuseAgreement agreement_ GUARDED_BY(mutex_);
};

}  // namespace varve
