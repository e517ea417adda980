// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "mountd/http_message.h"
#include "mountd/unix_socket.h"
#include "store/base/mutex.h"

namespace varve {

/// Answers one request. Called from many threads at once; what it throws becomes a 500.
using HttpHandler = std::function<HttpReply(const HttpRequest&)>;

struct HttpServerOptions {
  std::string socket_path;
  mode_t socket_mode = 0600;
  std::size_t body_limit_bytes = 1 << 20;  ///< longer: 413
  std::size_t max_connections = 64;        ///< more wait in the kernel's queue
  int idle_timeout_ms = 60'000;            ///< a connection silent for longer is closed
};

/// HTTP/1.1 over a unix socket: keep-alive, chunked bodies, "Expect: 100-continue". Each
/// connection has a thread, so a handler may take its time. Only the daemon's user and root are
/// served; others get 403. Errors found here have a JSON body {"error", "code"}.
///
/// Serves from construction until stop(), which lets running handlers finish and send their reply.
class HttpServer {
 public:
  /// Throws UserError if somebody listens at the path already, StoreError if it cannot be made.
  HttpServer(HttpServerOptions options, HttpHandler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Takes no more requests, waits for the running ones, and removes the socket. Not to be called
  /// from a handler.
  void stop();

 private:
  struct Connection;

  void accept_loop();
  void serve(Connection& connection);
  void reap() REQUIRES(mutex_);

  const HttpServerOptions options_;
  const HttpHandler handler_;
  Descriptor listener_;
  Descriptor wake_;  ///< readable once stop() was called
  Mutex mutex_;
  CondVar connection_ended_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::list<std::unique_ptr<Connection>> connections_ GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace varve
