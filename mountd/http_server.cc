// SPDX-License-Identifier: Apache-2.0
#include "mountd/http_server.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

// Beast's parsers only: connections are plain descriptors with a time limit, without an event loop.
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

/// A connected socket as a SyncReadStream and SyncWriteStream whose reads and writes give up after
/// a time without progress.
class SocketStream {
 public:
  SocketStream(int fd, int timeout_ms) : fd_(fd), timeout_ms_(timeout_ms) {}

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, beast::error_code& error) {
    error = {};
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
         ++it) {
      const asio::mutable_buffer buffer(*it);
      if (buffer.size() == 0) continue;
      if (!wait(POLLIN, error)) return 0;
      const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (count == 0) error = asio::error::eof;
      if (count < 0) error = last_error();
      return count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    return 0;
  }

  template <class Buffers>
  std::size_t write_some(const Buffers& buffers, beast::error_code& error) {
    error = {};
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
         ++it) {
      const asio::const_buffer buffer(*it);
      if (buffer.size() == 0) continue;
      if (!wait(POLLOUT, error)) return 0;
      const ssize_t count = ::send(fd_, buffer.data(), buffer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN && errno != EINTR) error = last_error();
      return count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    return 0;
  }

  // Beast asks for the throwing forms to exist; they are not used.
  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    beast::error_code error;
    const std::size_t count = read_some(buffers, error);
    if (error) throw beast::system_error(error);
    return count;
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers) {
    beast::error_code error;
    const std::size_t count = write_some(buffers, error);
    if (error) throw beast::system_error(error);
    return count;
  }

 private:
  static beast::error_code last_error() { return {errno, boost::system::system_category()}; }

  bool wait(short events, beast::error_code& error) {
    pollfd entry{fd_, events, 0};
    int ready = 0;
    do {
      ready = ::poll(&entry, 1, timeout_ms_);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) error = asio::error::timed_out;
    if (ready < 0) error = last_error();
    return ready > 0;
  }

  int fd_;
  int timeout_ms_;
};

using Parser = http::request_parser<http::string_body>;
using Response = http::response<http::string_body>;

HttpReply error_reply(int status, const char* sentence, const char* code) {
  return {status, "application/json",
          std::string(R"({"error":")") + sentence + R"(","code":")" + code + "\"}"};
}

/// The reply to a request that cannot be parsed, or none if the connection just ended.
std::optional<HttpReply> refusal(const beast::error_code& error) {
  if (error == http::error::body_limit)
    return error_reply(413, "the request's body is larger than the limit", "too_large");
  if (error == http::error::header_limit)
    return error_reply(431, "the request's header is larger than the limit", "too_large");
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == asio::error::timed_out || error == asio::error::eof ||
      error.category() == boost::system::system_category())
    return std::nullopt;
  return error_reply(400, "the request is not valid HTTP/1.1", "bad_request");
}

bool may_connect(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

bool send_reply(SocketStream& stream, HttpReply&& reply, unsigned version, bool keep_alive,
                bool head) {
  Response response;
  response.version(version);
  response.result(static_cast<unsigned>(reply.status));
  response.set(http::field::server, "varve/" VARVE_VERSION);
  response.set(http::field::content_type, reply.content_type);
  response.keep_alive(keep_alive);
  response.content_length(reply.body.size());
  if (!head) response.body() = std::move(reply.body);
  beast::error_code error;
  if (head) {
    http::response_serializer<http::string_body> serializer(response);
    http::write_header(stream, serializer, error);
  } else {
    http::write(stream, response, error);
  }
  return !error;
}

HttpReply answer(const HttpHandler& handler, const Parser& parser) {
  HttpRequest request;
  request.method = std::string(parser.get().method_string());
  parse_target(std::string_view(parser.get().target().data(), parser.get().target().size()),
               request);
  request.body = parser.get().body();
  try {
    return handler(request);
  } catch (const std::exception& failure) {
    log_error("http", request.method + " " + request.path + ": " + failure.what());
    return error_reply(500, "internal error; see the daemon's log", "internal");
  }
}

/// Reads one request into `parser`, sending "100 Continue" when the client waits for it.
void read_request(SocketStream& stream, beast::flat_buffer& buffer, Parser& parser,
                  beast::error_code& error) {
  http::read_header(stream, buffer, parser, error);
  if (error) return;
  if (beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done()) {
    http::response<http::empty_body> go_on{http::status::continue_, parser.get().version()};
    http::write(stream, go_on, error);
    if (error) return;
  }
  http::read(stream, buffer, parser, error);
}

}  // namespace

struct HttpServer::Connection {
  Descriptor socket;
  std::thread thread;
  bool ended = false;  // guarded by the server's mutex_
};

HttpServer::HttpServer(HttpServerOptions options, HttpHandler handler)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      listener_(listen_unix(options_.socket_path, options_.socket_mode)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw_errno("make an event descriptor");
  acceptor_ = std::thread([this] { accept_loop(); });
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::stop() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    connection_ended_.notify_all();
    // Wakes readers; a handler that runs can still send its reply.
    for (const auto& connection : connections_)
      if (!connection->ended) ::shutdown(connection->socket.get(), SHUT_RD);
  }
  ::eventfd_write(wake_.get(), 1);
  acceptor_.join();
  std::list<std::unique_ptr<Connection>> rest;
  {
    MutexLock lock(mutex_);
    rest.swap(connections_);
  }
  for (const auto& connection : rest) connection->thread.join();
  ::unlink(options_.socket_path.c_str());
}

void HttpServer::accept_loop() {
  ::pthread_setname_np(::pthread_self(), "http-accept");
  for (;;) {
    pollfd entries[2] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(entries, 2, -1) < 0 && errno != EINTR) return;
    MutexLock lock(mutex_);
    reap();
    while (!stopping_ && connections_.size() >= options_.max_connections) {
      connection_ended_.wait(mutex_);
      reap();
    }
    if (stopping_) return;
    if ((entries[0].revents & POLLIN) == 0) continue;
    Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) continue;
    auto connection = std::make_unique<Connection>();
    connection->socket = std::move(socket);
    Connection& reference = *connection;
    connections_.push_back(std::move(connection));
    reference.thread = std::thread([this, &reference] {
      serve(reference);
      MutexLock ended_lock(mutex_);
      reference.ended = true;
      ::shutdown(reference.socket.get(), SHUT_RDWR);
      connection_ended_.notify_all();
    });
  }
}

void HttpServer::reap() {
  for (auto it = connections_.begin(); it != connections_.end();) {
    if ((*it)->ended) {
      (*it)->thread.join();
      it = connections_.erase(it);
    } else {
      ++it;
    }
  }
}

void HttpServer::serve(Connection& connection) {
  ::pthread_setname_np(::pthread_self(), "http");
  SocketStream stream(connection.socket.get(), options_.idle_timeout_ms);
  const bool allowed = may_connect(connection.socket.get());
  beast::flat_buffer buffer;
  for (bool keep_alive = true; keep_alive;) {
    Parser parser;
    parser.body_limit(options_.body_limit_bytes);
    parser.header_limit(16 * 1024);
    beast::error_code error;
    read_request(stream, buffer, parser, error);
    if (error) {
      if (auto reply = refusal(error)) send_reply(stream, std::move(*reply), 11, false, false);
      return;
    }
    keep_alive = allowed && parser.get().keep_alive();
    HttpReply reply = allowed ? answer(handler_, parser)
                              : error_reply(403, "only the daemon's user and root are served here",
                                            "permission_denied");
    {
      MutexLock lock(mutex_);
      if (stopping_) keep_alive = false;
    }
    const bool head = parser.get().method() == http::verb::head;
    if (!send_reply(stream, std::move(reply), parser.get().version(), keep_alive, head)) return;
  }
}

}  // namespace varve
