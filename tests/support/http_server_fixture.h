// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "mountd/http_client.h"
#include "mountd/http_server.h"
#include "mountd/unix_socket.h"
#include "tests/support/temp_directory.h"

namespace varve::test {

/// Says what it was asked: "METHOD PATH NAME=VALUE... BODY". Throws for "/throw".
inline HttpReply echo(const HttpRequest& request) {
  if (request.path == "/throw") throw std::runtime_error("a secret");
  HttpReply reply;
  reply.body = request.method + " " + request.path;
  for (const auto& [name, value] : request.query) reply.body += " " + name + "=" + value;
  reply.body += " " + request.body;
  return reply;
}

/// A server on a socket of its own, and raw connections to it.
class HttpServerFixture : public ::testing::Test {
 protected:
  void start(HttpHandler handler = echo) {
    server_ = std::make_unique<HttpServer>(std::vector<HttpEndpoint>{{path_, std::move(handler)}},
                                           options_);
  }

  /// Sends `bytes` as they are, closes the sending side, and returns all that comes back.
  std::string raw(const std::string& bytes) {
    const Descriptor socket = connect_unix(path_);
    EXPECT_TRUE(socket);
    EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    ::shutdown(socket.get(), SHUT_WR);
    return rest(socket);
  }

  /// Everything up to the end of the connection.
  static std::string rest(const Descriptor& socket) {
    std::string all;
    char buffer[4096];
    for (ssize_t count = 0; (count = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
      all.append(buffer, static_cast<std::size_t>(count));
    return all;
  }

  HttpClient client() { return HttpClient::connect(path_).value(); }

  TempDirectory directory_;
  std::string path_ = directory_ / "socket";
  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace varve::test
