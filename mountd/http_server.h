// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mountd/http_message.h"

namespace varve {

/// Answers one request. Called from many threads at once; what it throws becomes a 500.
using HttpHandler = std::function<HttpReply(const HttpRequest&)>;

/// One unix socket and who answers there.
struct HttpEndpoint {
  std::string socket_path;
  HttpHandler handler;
  mode_t socket_mode = 0600;
  /// The field of the sentence in the JSON of errors that are found before the handler is asked.
  const char* error_field = "error";
  /// A socket that listens at `socket_path` already, which the server owns from here on and whose
  /// file stays at the end, for it is somebody else's; -1: the server makes one, and removes it.
  int listener = -1;
};

struct HttpServerOptions {
  std::size_t header_limit_bytes = 16 * 1024;  ///< longer: 431
  std::size_t body_limit_bytes = 1 << 20;      ///< longer: 413
  /// Of each endpoint, so that none can take the others' place; more wait in the kernel's queue.
  std::size_t max_connections = 64;
  std::size_t handler_threads = 32;  ///< of all endpoints: requests that are answered at once
  /// A connection is closed when a request has not arrived whole after so long (however slowly its
  /// bytes drip), or when a reply makes no progress for so long. A handler may take its time.
  int timeout_ms = 60'000;
};

/// HTTP/1.1 over unix sockets: keep-alive, pipelining, chunked bodies, "Expect: 100-continue". One
/// thread does the input and output of all connections, others run the handlers. Only the daemon's
/// user and root are served; others get 403. Errors found here have a JSON body {"error", "code"}.
///
/// Serves from construction until stop(), which lets running handlers finish and send their reply.
class HttpServer {
 public:
  /// Throws UserError if somebody listens at a path already, StoreError if it cannot be made. Then
  /// no socket is left.
  explicit HttpServer(std::vector<HttpEndpoint> endpoints, const HttpServerOptions& options = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Takes no more requests, waits for the running ones, and removes the sockets. Not to be called
  /// from a handler.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace varve
