// SPDX-License-Identifier: Apache-2.0
// Who may speak to the daemon is decided by the kernel's word about the peer, not by the socket's
// mode alone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>

#include "mountd/http_server.h"
#include "mountd/unix_socket.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

constexpr uid_t kStranger = 65'534;

/// Runs `body` in a thread of another user; the process stays who it is.
template <class Body>
void as_stranger(const Body& body) {
  std::thread([&] {
    ASSERT_EQ(::syscall(SYS_setresuid, kStranger, kStranger, kStranger), 0);
    body();
  }).join();
}

std::string talk(const std::string& socket_path) {
  const Descriptor socket = connect_unix(socket_path);
  if (!socket) return "errno " + std::to_string(errno);
  const std::string request = "POST /v1/stop HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
  (void)::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
  ::shutdown(socket.get(), SHUT_WR);
  std::string all;
  char buffer[4096];
  for (ssize_t count = 0; (count = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
    all.append(buffer, static_cast<std::size_t>(count));
  return all;
}

class PeerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) return;  // only root can play another user
    ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  }

  /// A server whose socket anybody may connect to.
  HttpServer serve() {
    const HttpHandler handler = [this](const HttpRequest&) {
      ++handled_;
      return HttpReply{200, "text/plain", "done"};
    };
    return HttpServer({HttpEndpoint{directory_ / "socket", handler, 0666}});
  }

  test::TempDirectory directory_;
  std::atomic<int> handled_{0};
};

TEST_F(PeerTest, AnotherUserIsRefusedThoughTheSocketIsOpenToAll) {
  const HttpServer server = serve();
  std::string reply;
  as_stranger([&] { reply = talk(directory_ / "socket"); });
  EXPECT_NE(reply.find(" 403 "), std::string::npos) << reply;
  EXPECT_EQ(handled_, 0);
}

TEST_F(PeerTest, TheOwnUserIsServed) {
  const HttpServer server = serve();
  EXPECT_NE(talk(directory_ / "socket").find(" 200 "), std::string::npos);
  EXPECT_EQ(handled_, 1);
}

TEST_F(PeerTest, TheSocketsModeKeepsOthersOutBeforeThat) {
  const HttpHandler handler = [](const HttpRequest&) { return HttpReply{}; };
  const HttpServer server({HttpEndpoint{directory_ / "private", handler}});
  std::string reply;
  as_stranger([&] { reply = talk(directory_ / "private"); });
  EXPECT_EQ(reply, "errno " + std::to_string(EACCES));
}

}  // namespace
}  // namespace varve
