// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mountd/fuse_connection.h"
#include "mountd/fuse_readers.h"
#include "store/base/mutex.h"

struct fuse_session;

namespace varve {

/// Owns libfuse's session over one descriptor of /dev/fuse, and serves it.
///
/// Every method but serve() may be called from any thread at any time.
class FuseSession {
 public:
  /// True if this libfuse can use io_uring.
  static bool knows_uring();

  /// Takes `device` over, even when it throws. `connection` must outlive the session.
  FuseSession(FuseConnection& connection, int device);
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  /// Answers requests until the connection ends or stop() is called, then lets those under way
  /// finish and closes the device, which ends a connection that is still there. Once, in a thread
  /// of its own.
  void serve();

  /// Makes serve() return; false over io_uring, whose threads end with the connection only.
  bool stop();
  /// True while the kernel still has the connection.
  bool connected() const;
  /// Writes a notification; 0 or an errno (ENODEV after the end).
  int notify(ByteView notification) const;

 private:
  void loop();
  void loop_with_uring();

  FuseConnection& connection_;
  FuseReaders readers_;
  fuse_session* session_ = nullptr;  ///< freed by serve()
  /// Closing waits for notifications under way; those never wait for us to take this lock.
  mutable Mutex mutex_;
  mutable CondVar notified_;
  int device_ GUARDED_BY(mutex_) = -1;  ///< owned by session_
  mutable unsigned notifying_ GUARDED_BY(mutex_) = 0;
};

}  // namespace varve
