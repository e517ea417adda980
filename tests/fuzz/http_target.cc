// SPDX-License-Identifier: Apache-2.0
// Bytes at the control socket: a server in this process, one connection an input.
#include <sys/socket.h>

#include "mountd/http_server.h"
#include "mountd/unix_socket.h"
#include "tests/fuzz/all_targets.h"
#include "tests/fuzz/check.h"
#include "tests/support/temp_directory.h"

namespace varve::fuzz {
namespace {

/// Lives as long as the process.
class Server {
 public:
  Server()
      : server_({HttpEndpoint{path(), [](const HttpRequest& request) {
                                return HttpReply{200, "text/plain", request.body};
                              }}}) {}
  std::string path() const { return directory_ / "socket"; }

 private:
  test::TempDirectory directory_{"varve-fuzz"};
  HttpServer server_;
};

std::string exchange(ByteView bytes) {
  static const Server server;
  const Descriptor socket = connect_unix(server.path());
  VARVE_CHECK(socket);
  // The server may answer and close before it has read all of it.
  (void)::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  ::shutdown(socket.get(), SHUT_WR);
  std::string reply;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
    reply.append(buffer, static_cast<std::size_t>(got));
  return reply;
}

}  // namespace

void http(ByteView input) {
  const std::string reply = exchange(input);
  VARVE_CHECK(reply.empty() || reply.rfind("HTTP/1.", 0) == 0);
}

std::vector<Bytes> http_seeds() {
  return {
      to_bytes("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"),
      to_bytes("POST /v1/volumes HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyGET / HTTP/1.1\r\n\r\n"),
      to_bytes("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
      to_bytes("PUT /a?b=c HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"),
      to_bytes("HEAD / HTTP/1.1\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n")};
}

}  // namespace varve::fuzz
