// SPDX-License-Identifier: Apache-2.0
#include "mountd/http_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "mountd/http_client.h"
#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

HttpReply echo(const HttpRequest& request) {
  if (request.path == "/throw") throw std::runtime_error("a secret");
  HttpReply reply;
  reply.body = request.method + " " + request.path;
  for (const auto& [name, value] : request.query) reply.body += " " + name + "=" + value;
  reply.body += " " + request.body;
  return reply;
}

/// A server on a socket of its own, and raw connections to it.
class HttpServerTest : public ::testing::Test {
 protected:
  HttpServer& start(HttpHandler handler = echo) {
    options_.socket_path = directory_ / "socket";
    server_ = std::make_unique<HttpServer>(options_, std::move(handler));
    return *server_;
  }

  /// Sends `bytes` as they are, closes the sending side, and returns all that comes back.
  std::string raw(const std::string& bytes) {
    const Descriptor socket = connect_unix(options_.socket_path);
    EXPECT_TRUE(socket);
    EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    ::shutdown(socket.get(), SHUT_WR);
    return rest(socket);
  }

  static std::string rest(const Descriptor& socket) {
    std::string all;
    char buffer[4096];
    for (ssize_t count = 0; (count = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
      all.append(buffer, static_cast<std::size_t>(count));
    return all;
  }

  HttpClient client() { return HttpClient::connect(options_.socket_path).value(); }

  test::TempDirectory directory_;
  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersSeveralRequestsOnOneConnection) {
  start();
  HttpClient connection = client();
  EXPECT_EQ(connection.call("GET", "/a?x=1&y=%20z").body, "GET /a x=1 y= z ");
  EXPECT_EQ(connection.call("POST", "/b", "body").body, "POST /b body");
  EXPECT_EQ(connection.call("DELETE", "/c").body, "DELETE /c ");
}

TEST_F(HttpServerTest, BodiesOfManyKilobytesArriveWhole) {
  start();
  const std::string body(900'000, 'x');
  EXPECT_EQ(client().call("POST", "/b", body).body, "POST /b " + body);
}

TEST_F(HttpServerTest, AHandlerThatThrowsIsA500WithoutItsWords) {
  start();
  HttpClient connection = client();
  const HttpReply reply = connection.call("GET", "/throw");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
  EXPECT_EQ(connection.call("GET", "/after").status, 200);
}

TEST_F(HttpServerTest, ABodyAboveTheLimitIs413) {
  options_.body_limit_bytes = 1000;
  start();
  EXPECT_NE(raw("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n").find(" 413 "),
            std::string::npos);
  const std::string chunk = "400\r\n" + std::string(1024, 'x') + "\r\n0\r\n\r\n";
  EXPECT_NE(raw("POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
                .find(" 413 "),
            std::string::npos);
  EXPECT_EQ(client().call("POST", "/b", std::string(1000, 'x')).status, 200);
}

TEST_F(HttpServerTest, AHeaderAboveTheLimitIsRefused) {
  start();
  const std::string reply = raw("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(reply.substr(0, 10), "HTTP/1.1 4");
}

TEST_F(HttpServerTest, WhatIsNotHttpIs400AndTheServerGoesOn) {
  start();
  for (const char* bytes : {"hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                            "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"}) {
    SCOPED_TRACE(bytes);
    EXPECT_NE(raw(bytes).find(" 400 "), std::string::npos);
  }
  EXPECT_EQ(client().call("GET", "/").status, 200);
}

TEST_F(HttpServerTest, AHalfRequestGetsNoReplyAndIsNotHandled) {
  std::atomic<int> handled{0};
  start([&](const HttpRequest&) {
    ++handled;
    return HttpReply{};
  });
  EXPECT_EQ(raw("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf"), "");
  EXPECT_EQ(raw("POST / HT"), "");
  EXPECT_EQ(raw(""), "");
  EXPECT_EQ(handled, 0);
}

TEST_F(HttpServerTest, ChunkedBodiesAndExpectAreUnderstood) {
  start();
  EXPECT_NE(
      raw("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
          .find("POST /c abcde"),
      std::string::npos);
  const Descriptor socket = connect_unix(options_.socket_path);
  const std::string head =
      "POST /e HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  ::send(socket.get(), head.data(), head.size(), MSG_NOSIGNAL);
  char line[12];
  ASSERT_EQ(::recv(socket.get(), line, sizeof line, MSG_WAITALL), 12);
  EXPECT_EQ(std::string(line, 12), "HTTP/1.1 100");
  ::send(socket.get(), "ok", 2, MSG_NOSIGNAL);
  EXPECT_NE(rest(socket).find("POST /e ok"), std::string::npos);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  const std::string all =
      raw("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::size_t first = all.find("GET /1"), second = all.find("GET /2");
  EXPECT_NE(second, std::string::npos);
  EXPECT_LT(first, second);
}

TEST_F(HttpServerTest, HeadHasALengthAndNoBody) {
  start();
  const std::string all = raw("HEAD /1 HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_NE(all.find("Content-Length: "), std::string::npos);
  EXPECT_EQ(all.substr(all.find("\r\n\r\n")), "\r\n\r\n");
}

TEST_F(HttpServerTest, ManyClientsAtOnceAreServedWithFewConnections) {
  options_.max_connections = 4;
  start();
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 32; ++i)
    threads.emplace_back([&] {
      if (client().call("GET", "/x").status == 200) ++served;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 32);
}

TEST_F(HttpServerTest, ASilentConnectionIsClosed) {
  options_.idle_timeout_ms = 20;
  start();
  const Descriptor socket = connect_unix(options_.socket_path);
  EXPECT_EQ(rest(socket), "");
}

TEST_F(HttpServerTest, StopLetsARunningHandlerAnswer) {
  std::atomic<bool> entered{false}, go{false};
  start([&](const HttpRequest&) {
    entered = true;
    entered.notify_all();
    go.wait(false);
    return HttpReply{200, "text/plain", "done"};
  });
  std::string body;
  std::thread caller([&] { body = client().call("GET", "/slow").body; });
  entered.wait(false);
  std::thread stopper([&] { server_->stop(); });
  go = true;
  go.notify_all();
  stopper.join();
  caller.join();
  EXPECT_EQ(body, "done");
  EXPECT_FALSE(std::filesystem::exists(options_.socket_path));
}

TEST_F(HttpServerTest, StopDoesNotWaitForIdleConnections) {
  start();
  HttpClient connection = client();
  connection.call("GET", "/");
  server_->stop();
  try {
    connection.call("GET", "/");
    ADD_FAILURE() << "was answered";
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), ECONNRESET);  // not read: may be sent again
  }
}

TEST_F(HttpServerTest, TheSocketIsItsOwnersAlone) {
  start();
  struct stat status {};
  ASSERT_EQ(::stat(options_.socket_path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(HttpServerTest, AStaleSocketIsReplacedAndALiveOneIsNot) {
  start();
  EXPECT_THROW(HttpServer(options_, echo), UserError);
  EXPECT_EQ(client().call("GET", "/").status, 200);
  server_.reset();
  { const Descriptor stale = listen_unix(options_.socket_path, 0600); }
  EXPECT_TRUE(std::filesystem::exists(options_.socket_path));
  EXPECT_FALSE(HttpClient::connect(options_.socket_path));
  start();
  EXPECT_EQ(client().call("GET", "/").status, 200);
}

TEST_F(HttpServerTest, AFileInTheWayIsNotRemoved) {
  std::ofstream(directory_ / "socket") << "precious";
  EXPECT_THROW(start(), UserError);
  EXPECT_TRUE(std::filesystem::exists(directory_ / "socket"));
}

TEST_F(HttpServerTest, PathsLongerThanASocketAddressWork) {
  std::string deep = directory_.path();
  for (int i = 0; i < 6; ++i) deep += "/" + std::string(100, 'd');
  std::filesystem::create_directories(deep);
  options_.socket_path = deep + "/socket";
  server_ = std::make_unique<HttpServer>(options_, echo);
  EXPECT_EQ(client().call("GET", "/deep").body, "GET /deep ");
  server_->stop();
  EXPECT_FALSE(std::filesystem::exists(options_.socket_path));
}

TEST(HttpClient, NobodyListeningIsAbsence) {
  const test::TempDirectory directory;
  EXPECT_FALSE(HttpClient::connect(directory / "socket"));
  EXPECT_FALSE(HttpClient::connect(directory / "none/socket"));
}

TEST(HttpClient, RepliesThatAreNotHttpAreErrors) {
  for (const char* answer : {"", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                             "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"}) {
    SCOPED_TRACE(answer);
    const test::TempDirectory directory;
    const Descriptor listener = listen_unix(directory / "socket", 0600);
    std::thread server([&] {
      const Descriptor socket(::accept(listener.get(), nullptr, nullptr));
      char buffer[1024];
      ::recv(socket.get(), buffer, sizeof buffer, 0);
      ::send(socket.get(), answer, std::string_view(answer).size(), MSG_NOSIGNAL);
    });
    HttpClient client = HttpClient::connect(directory / "socket").value();
    EXPECT_THROW(client.call("GET", "/"), StoreError);
    server.join();
  }
}

TEST(HttpMessage, PercentEncodingGoesThereAndBack) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_encode("a/b c"), "a%2Fb%20c");
  EXPECT_EQ(percent_decode("%zz%4"), "%zz%4");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
}

}  // namespace
}  // namespace varve
