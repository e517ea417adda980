// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mountd/http_message.h"
#include "mountd/unix_socket.h"

namespace varve {

/// One connection to a server on a unix socket; made for quick starts: no library, one send and as
/// few receives as the reply needs. For one thread.
class HttpClient {
 public:
  /// Connected, or none when nobody listens at the path (no file, or a stale one). Other failures
  /// throw StoreError with the errno of the system call.
  static std::optional<HttpClient> connect(const std::string& socket_path);

  /// Sends a request and returns the reply, whatever its status. Throws StoreError: ECONNRESET when
  /// the server went away without having read the request (it may be sent again elsewhere), EPIPE
  /// when it went away later, ETIMEDOUT when it is silent for `timeout_ms`.
  HttpReply call(std::string_view method, std::string_view target, std::string_view body = {});

  int timeout_ms = 600'000;

 private:
  explicit HttpClient(Descriptor socket) : socket_(std::move(socket)) {}
  /// Appends what arrives to `received_`; false at the end of the stream.
  bool receive();

  Descriptor socket_;
  std::string received_;  ///< bytes that no reply has used yet
};

}  // namespace varve
