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

  /// In place of the kernel's first request: an earlier process has had the connection and came to
  /// `agreement` with the kernel. StoreError(EPROTO) if this program would come to another one.
  void take_over(const FuseAgreement& agreement);
  /// After take_over(), in the thread that is going to call serve(): makes the kernel send again
  /// what it has no answer to, and returns when all of that was answered. StoreError if the kernel
  /// cannot.
  void answer_again();

  /// Answers requests until the connection ends or stop() is called, then lets those under way
  /// finish and closes the device, which ends a connection that is still there. Once, in a thread
  /// of its own.
  void serve();

  /// Makes serve() return; false over io_uring, whose threads end with the connection only.
  bool stop();
  /// True while the kernel still has the connection.
  bool connected() const;
  /// Of /dev/fuse; -1 after the end.
  int descriptor() const;
  /// Writes a notification; 0 or an errno (ENODEV after the end).
  int notify(ByteView notification) const;

 private:
  bool has_request() const;
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
