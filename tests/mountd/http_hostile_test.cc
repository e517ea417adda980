// SPDX-License-Identifier: Apache-2.0
// What a client may do to the HTTP server: bytes that are no request, too many, too slow, too few.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cstring>
#include <random>
#include <thread>

#include "mountd/http_client.h"
#include "tests/support/http_server_fixture.h"

namespace varve {
namespace {

class HttpHostileTest : public test::HttpServerFixture {
 protected:
  /// Counts the requests that reach the handler.
  void start_counting() {
    start([this](const HttpRequest& request) {
      ++handled_;
      return test::echo(request);
    });
  }

  /// Sends without closing the sending side.
  Descriptor send_part(const std::string& bytes) {
    Descriptor socket = connect_unix(path_);
    EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    return socket;
  }

  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  std::atomic<int> handled_{0};
};

TEST_F(HttpHostileTest, ABodyAboveTheLimitIs413) {
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

TEST_F(HttpHostileTest, AHeaderAboveTheLimitIsRefused) {
  start();
  const std::string reply = raw("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(reply.substr(0, 10), "HTTP/1.1 4");
}

TEST_F(HttpHostileTest, WhatIsNotHttpIs400AndTheServerGoesOn) {
  start();
  for (const char* bytes : {"hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                            "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"}) {
    SCOPED_TRACE(bytes);
    EXPECT_NE(raw(bytes).find(" 400 "), std::string::npos);
  }
  EXPECT_EQ(client().call("GET", "/").status, 200);
}

TEST_F(HttpHostileTest, AHalfRequestGetsNoReplyAndIsNotHandled) {
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

TEST_F(HttpHostileTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  const std::string all =
      raw("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::size_t first = all.find("GET /1"), second = all.find("GET /2");
  EXPECT_NE(second, std::string::npos);
  EXPECT_LT(first, second);
}

TEST_F(HttpHostileTest, ASilentConnectionIsClosed) {
  options_.timeout_ms = 20;
  start();
  const Descriptor socket = connect_unix(path_);
  EXPECT_EQ(rest(socket), "");
}

TEST_F(HttpHostileTest, ARequestCutAnywhereIsNotHandled) {
  start_counting();
  for (const std::string whole :
       {"POST /b?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
        "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      SCOPED_TRACE(size);
      EXPECT_EQ(raw(whole.substr(0, size)), "");
    }
    EXPECT_EQ(handled_.exchange(0), 0);
    EXPECT_TRUE(has(raw(whole), " 200 OK"));
    EXPECT_EQ(handled_.exchange(0), 1);
  }
}

TEST_F(HttpHostileTest, BadChunksAndAmbiguousLengthsAre400) {
  start_counting();
  const std::string chunked = "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n";
  for (const std::string& bytes :
       {chunked + "\r\nxyz\r\n", chunked + "\r\n-1\r\n", chunked + "\r\n3\r\nabcd\r\n0\r\n\r\n",
        chunked + "\r\nfffffffffffffffff\r\n",
        chunked + "Content-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        std::string("POST /c HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", 26)}) {
    SCOPED_TRACE(bytes);
    EXPECT_TRUE(has(raw(bytes), "HTTP/1.1 400 "));
  }
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(client().call("GET", "/").status, 200);
}

TEST_F(HttpHostileTest, AHugeChunkIsRefusedBeforeItComes) {
  start_counting();
  const Descriptor socket =
      send_part("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n");
  EXPECT_TRUE(has(rest(socket), " 413 "));
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpHostileTest, TheClientSeesARefusalThatComesWhileItSends) {
  start_counting();
  EXPECT_EQ(client().call("POST", "/b", std::string(8 << 20, 'x')).status, 413);
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpHostileTest, ARefusedRequestMayBeSentToItsEnd) {
  options_.body_limit_bytes = 1000;
  start_counting();
  const Descriptor socket = send_part("POST /b HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_TRUE(has(rest(socket), " 413 "));
  const std::string body(1'000'000, 'x');
  EXPECT_EQ(::send(socket.get(), body.data(), body.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(body.size()));
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpHostileTest, ARefusedRequestIsNotReadForEver) {
  start_counting();
  const Descriptor socket = send_part("nonsense\r\n\r\n");
  EXPECT_TRUE(has(rest(socket), " 400 "));
  const std::string piece(1 << 20, 'x');
  int sent = 0;
  while (sent < 64 && ::send(socket.get(), piece.data(), piece.size(), MSG_NOSIGNAL) > 0) ++sent;
  EXPECT_LT(sent, 64);
}

TEST_F(HttpHostileTest, UnknownMethodsReachTheHandlerAsTheyAre) {
  start_counting();
  EXPECT_TRUE(has(raw("BREW /pot HTTP/1.1\r\n\r\n"), "BREW /pot"));
  EXPECT_TRUE(has(raw("get / HTTP/1.1\r\n\r\n"), "get /"));
  EXPECT_TRUE(has(raw(std::string(20'000, 'M') + " / HTTP/1.1\r\n\r\n"), " 431 "));
  EXPECT_EQ(handled_, 2);
}

TEST_F(HttpHostileTest, DrippingBytesDoNotProlongARequest) {
  options_.timeout_ms = 50;
  for (const std::string begin :
       {"GET / HTTP/1.1\r\nX: ", "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"}) {
    start_counting();
    const Descriptor socket = send_part(begin);
    // A byte each time that nothing has come for 5 ms: at that pace the limits of size are far.
    int bytes = 0;
    for (pollfd entry{socket.get(), POLLIN, 0}; ::poll(&entry, 1, 5) == 0; ++bytes) {
      if (::send(socket.get(), "x", 1, MSG_NOSIGNAL) != 1) break;
    }
    EXPECT_LT(bytes, 2'000);
    EXPECT_EQ(rest(socket), "");
    server_.reset();
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(HttpHostileTest, AReplyThatNobodyReadsEndsTheConnection) {
  options_.timeout_ms = 50;
  start([](const HttpRequest&) {
    return HttpReply{200, "text/plain", std::string(16 << 20, 'z')};
  });
  const Descriptor socket = send_part("GET / HTTP/1.1\r\n\r\n");
  pollfd entry{socket.get(), 0, 0};
  EXPECT_EQ(::poll(&entry, 1, 60'000), 1);
  EXPECT_TRUE(entry.revents & POLLHUP);
}

TEST_F(HttpHostileTest, StopDoesNotWaitForTheRestOfARequest) {
  options_.timeout_ms = 3'600'000;  // far above what this test may take
  start_counting();
  const Descriptor header = send_part("POST / HT");
  const Descriptor body = send_part("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
  EXPECT_EQ(client().call("GET", "/").status, 200);
  server_->stop();
  EXPECT_EQ(rest(header) + rest(body), "");
  EXPECT_EQ(handled_, 1);
}

TEST_F(HttpHostileTest, AHundredConnectionsAtOnceAreAllServed) {
  start_counting();
  constexpr int kClients = 100;
  std::barrier together(kClients);
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i)
    threads.emplace_back([&, i] {
      HttpClient connection = client();
      together.arrive_and_wait();
      const std::string text = std::string(1000, static_cast<char>('a' + i % 26));
      if (connection.call("POST", "/x", text).body == "POST /x " + text) ++served;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, kClients);
  EXPECT_EQ(handled_, kClients);
}

TEST_F(HttpHostileTest, AThousandPipelinedRequestsAreAnsweredInOrder) {
  start_counting();
  std::string requests, replies;
  for (int i = 0; i < 1000; ++i)
    requests += "POST /" + std::to_string(i) + " HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
  const std::string all = raw(requests);
  std::size_t at = 0;
  for (int i = 0; i < 1000; ++i) {
    at = all.find("POST /" + std::to_string(i) + " hi", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_EQ(handled_, 1000);
}

TEST_F(HttpHostileTest, DamagedRequestsNeverEndTheServer) {
  start();
  const std::string whole =
      "POST /v1/volumes?x=%20y HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
      "Connection: keep-alive\r\n\r\n4;a=b\r\nbody\r\n0\r\nTrailer: t\r\n\r\n";
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::string bytes = whole;
    for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    const std::string reply = raw(bytes);
    EXPECT_TRUE(reply.empty() || reply.compare(0, 7, "HTTP/1.") == 0);
  }
  EXPECT_EQ(client().call("GET", "/").status, 200);
}

/// Leaves this process no descriptor to open, for as long as it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit limit = before_;
    fill_.emplace_back(::dup(STDERR_FILENO));
    limit.rlim_cur = static_cast<rlim_t>(fill_.back().get()) + 1;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    for (int fd; (fd = ::dup(STDERR_FILENO)) >= 0;) fill_.emplace_back(fd);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
  std::vector<Descriptor> fill_;
};

TEST_F(HttpHostileTest, AConnectionWaitsWhileThereAreNoDescriptors) {
  start_counting();
  sockaddr_un address{AF_UNIX, {}};
  ASSERT_LT(path_.size(), sizeof address.sun_path);
  std::strcpy(address.sun_path, path_.c_str());
  const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  pollfd entry{socket.get(), POLLIN, 0};
  {
    const NoDescriptors none;
    ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::send(socket.get(), "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    EXPECT_EQ(::poll(&entry, 1, 50), 0);
  }
  EXPECT_TRUE(has(rest(socket), " 200 OK"));
}

}  // namespace
}  // namespace varve
