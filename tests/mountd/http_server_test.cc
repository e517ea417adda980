// SPDX-License-Identifier: Apache-2.0
#include "mountd/http_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <thread>

#include <boost/filesystem.hpp>

#include "mountd/http_client.h"
#include "store/base/error.h"
#include "tests/support/http_server_fixture.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using HttpServerTest = test::HttpServerFixture;
using test::echo;

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

TEST_F(HttpServerTest, ChunkedBodiesAndExpectAreUnderstood) {
  start();
  EXPECT_NE(
      raw("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
          .find("POST /c abcde"),
      std::string::npos);
  const Descriptor socket = connect_unix(path_);
  const std::string head =
      "POST /e HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  ::send(socket.get(), head.data(), head.size(), MSG_NOSIGNAL);
  char line[12];
  ASSERT_EQ(::recv(socket.get(), line, sizeof line, MSG_WAITALL), 12);
  EXPECT_EQ(std::string(line, 12), "HTTP/1.1 100");
  ::send(socket.get(), "ok", 2, MSG_NOSIGNAL);
  EXPECT_NE(rest(socket).find("POST /e ok"), std::string::npos);
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

TEST_F(HttpServerTest, EachEndpointHasItsHandlerAndItsConnections) {
  options_.max_connections = 1;
  const std::string other = directory_ / "other";
  const auto plugin = [](const HttpRequest&) { return HttpReply{200, "text/plain", "plugin"}; };
  server_ = std::make_unique<HttpServer>(
      std::vector<HttpEndpoint>{{path_, echo}, {other, plugin, 0660}}, options_);
  HttpClient first = client();
  EXPECT_EQ(first.call("GET", "/").body, "GET / ");
  EXPECT_EQ(HttpClient::connect(other)->call("GET", "/").body, "plugin");
  EXPECT_EQ(first.call("GET", "/").body, "GET / ");
  struct stat status {};
  ASSERT_EQ(::stat(other.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660u);
  server_->stop();
  EXPECT_FALSE(boost::filesystem::exists(path_) || boost::filesystem::exists(other));
}

TEST_F(HttpServerTest, NoSocketIsLeftWhenOneOfThemIsTaken) {
  const Descriptor taken = listen_unix(directory_ / "taken", 0600);
  const std::vector<HttpEndpoint> both{{path_, echo}, {directory_ / "taken", echo}};
  EXPECT_THROW(HttpServer{both}, UserError);
  EXPECT_FALSE(boost::filesystem::exists(path_));
  EXPECT_TRUE(connect_unix(directory_ / "taken"));
}

TEST_F(HttpServerTest, RepliesOfManyMegabytesArriveWhole) {
  const std::string long_text(32 << 20, 'y');
  start([&](const HttpRequest&) { return HttpReply{200, "text/plain", long_text}; });
  EXPECT_TRUE(client().call("GET", "/").body == long_text);
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
  EXPECT_FALSE(boost::filesystem::exists(path_));
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
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(HttpServerTest, AStaleSocketIsReplacedAndALiveOneIsNot) {
  start();
  const std::vector<HttpEndpoint> again{{path_, echo}};
  EXPECT_THROW(HttpServer{again}, UserError);
  EXPECT_EQ(client().call("GET", "/").status, 200);
  server_.reset();
  { const Descriptor stale = listen_unix(path_, 0600); }
  EXPECT_TRUE(boost::filesystem::exists(path_));
  EXPECT_FALSE(HttpClient::connect(path_));
  start();
  EXPECT_EQ(client().call("GET", "/").status, 200);
}

TEST_F(HttpServerTest, AFileInTheWayIsNotRemoved) {
  std::ofstream(directory_ / "socket") << "precious";
  EXPECT_THROW(start(), UserError);
  EXPECT_TRUE(boost::filesystem::exists(directory_ / "socket"));
}

TEST_F(HttpServerTest, PathsLongerThanASocketAddressWork) {
  std::string deep = directory_.path();
  for (int i = 0; i < 6; ++i) deep += "/" + std::string(100, 'd');
  boost::filesystem::create_directories(deep);
  path_ = deep + "/socket";
  start();
  EXPECT_EQ(client().call("GET", "/deep").body, "GET /deep ");
  server_->stop();
  EXPECT_FALSE(boost::filesystem::exists(path_));
}

TEST(HttpClient, NobodyListeningIsAbsence) {
  const test::TempDirectory directory;
  EXPECT_FALSE(HttpClient::connect(directory / "socket"));
  EXPECT_FALSE(HttpClient::connect(directory / "none/socket"));
}

TEST(HttpClient, ASilentServerIsATimeout) {
  const test::TempDirectory directory;
  const Descriptor listener = listen_unix(directory / "socket", 0600);
  HttpClient client = HttpClient::connect(directory / "socket").value();
  client.timeout_ms = 20;
  try {
    client.call("GET", "/");
    ADD_FAILURE() << "was answered";
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), ETIMEDOUT);
  }
}

TEST(HttpClient, RepliesThatAreNotHttpAreErrors) {
  for (const char* answer : {"", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                             "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf"}) {
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
