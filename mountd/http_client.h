// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mountd/http_message.h"

namespace varve {

/// One connection to a server on a unix socket, kept from call to call. For one thread.
class HttpClient {
 public:
  /// Connected, or none when nobody listens at the path (no file, or a stale one). Other failures
  /// throw StoreError with the errno of the system call.
  static std::optional<HttpClient> connect(const std::string& socket_path);

  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  /// Sends a request and returns the reply, whatever its status. Throws StoreError: ECONNRESET when
  /// the server went away without having read the request (it may be sent again elsewhere), EPIPE
  /// when it went away later, ETIMEDOUT when the reply has not come after `timeout_ms`, EPROTO when
  /// it is not HTTP.
  HttpReply call(std::string_view method, std::string_view target, std::string_view body = {});

  int timeout_ms = 600'000;

 private:
  class Connection;
  explicit HttpClient(std::unique_ptr<Connection> connection);

  std::unique_ptr<Connection> connection_;
};

}  // namespace varve
