// SPDX-License-Identifier: Apache-2.0
#include "mountd/http_server.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

// This file and http_client.cc are the only ones that include Asio and Beast: they compile slowly.
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "mountd/unix_socket.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using Protocol = asio::local::stream_protocol;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;
using WorkGuard = asio::executor_work_guard<asio::io_context::executor_type>;

/// How long no connection is accepted after the process ran out of descriptors or memory.
constexpr std::chrono::milliseconds kAcceptPause{100};
/// How much of a refused request is still read, and in which pieces.
constexpr std::size_t kDropLimitBytes = 16 << 20, kDropPieceBytes = 64 << 10;

/// An error found by the server itself; its sentence is in the JSON's field `field`.
HttpReply error_reply(const char* field, int status, const char* sentence, const char* code) {
  return {status, "application/json",
          std::string("{\"") + field + R"(":")" + sentence + R"(","code":")" + code + "\"}"};
}

/// The reply to a request that cannot be parsed, or none if the connection just ended.
std::optional<HttpReply> refusal(const char* field, const beast::error_code& error) {
  if (error == http::error::body_limit)
    return error_reply(field, 413, "the request's body is larger than the limit", "too_large");
  if (error == http::error::header_limit)
    return error_reply(field, 431, "the request's header is larger than the limit", "too_large");
  const bool malformed = error.category() == beast::error_code(http::error::bad_method).category();
  if (!malformed || error == http::error::end_of_stream || error == http::error::partial_message)
    return std::nullopt;
  return error_reply(field, 400, "the request is not valid HTTP/1.1", "bad_request");
}

bool may_connect(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

HttpReply answer(const HttpEndpoint& endpoint, Request& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  parse_target(std::string_view(message.target().data(), message.target().size()), request);
  request.body = std::move(message.body());
  try {
    return endpoint.handler(request);
  } catch (const std::exception& failure) {
    log_error("http", request.method + " " + request.path + ": " + failure.what());
    return error_reply(endpoint.error_field, 500, "internal error; see the daemon's log",
                       "internal");
  }
}

Response response_to(const Request& request, HttpReply&& reply) {
  Response response;
  response.version(request.version());
  response.result(static_cast<unsigned>(reply.status));
  response.set(http::field::server, "varve/" VARVE_VERSION);
  response.set(http::field::content_type, reply.content_type);
  response.content_length(reply.body.size());
  if (request.method() != http::verb::head) response.body() = std::move(reply.body);
  return response;
}

/// What the connections of a server share. `io` runs in one thread, which alone touches listeners
/// and sessions, so they need no lock; `handlers` runs in many.
struct Engine {
  explicit Engine(const HttpServerOptions& the_options) : options(the_options) {}

  const HttpServerOptions options;
  asio::io_context io{1};
  asio::io_context handlers;
  bool stopping = false;  ///< of the I/O thread
};

/// One connection. It always has exactly one step outstanding; after the last one `ended` is called
/// with it, to delete it:
///
///   read header -> (send "100 Continue") -> read body -> handler -> write reply -> read header ...
///        `--------------------------------------`--> refuse -> write reply -> drop the rest
class Session {
 public:
  Session(Engine& engine, const HttpEndpoint& endpoint, Descriptor socket,
          std::function<void(const Session*)> ended)
      : engine_(engine),
        endpoint_(endpoint),
        ended_(std::move(ended)),
        stream_(Protocol::socket(engine.io, Protocol(), socket.get())),
        allowed_(may_connect(socket.release())) {}

  void read_header() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(engine_.options.header_limit_bytes));
    parser_->body_limit(engine_.options.body_limit_bytes);
    arm();
    http::async_read_header(
        stream_, buffer_, *parser_,
        [this](const beast::error_code& error, std::size_t) { header_arrived(error); });
  }

  /// What was sent before is still read and answered; then the connection ends.
  void end_of_input() {
    beast::error_code ignored;
    stream_.socket().shutdown(Protocol::socket::shutdown_receive, ignored);
  }

 private:
  /// Starts the time limit of a request, or of the next piece of a reply.
  void arm() { stream_.expires_after(std::chrono::milliseconds(engine_.options.timeout_ms)); }

  void header_arrived(const beast::error_code& error) {
    if (error) return refuse(error);
    const bool waits = beast::iequals(parser_->get()[http::field::expect], "100-continue");
    if (!waits || parser_->is_done()) return read_body();
    go_on_.emplace(http::status::continue_, parser_->get().version());
    http::async_write(stream_, *go_on_, [this](const beast::error_code& failure, std::size_t) {
      failure ? end() : read_body();
    });
  }

  void read_body() {
    http::async_read(
        stream_, buffer_, *parser_,
        [this](const beast::error_code& error, std::size_t) { request_arrived(error); });
  }

  void request_arrived(const beast::error_code& error) {
    if (error) return refuse(error);
    stream_.expires_never();
    if (!allowed_)
      return send(error_reply(endpoint_.error_field, 403,
                              "only the daemon's user and root are served here",
                              "permission_denied"));
    asio::post(engine_.handlers, [this] {
      // Nobody else touches this session until the reply is posted.
      HttpReply reply = answer(endpoint_, parser_->get());
      asio::post(engine_.io, [this, reply = std::move(reply)]() mutable {
        keep_alive_ = parser_->get().keep_alive() && !engine_.stopping;
        send(std::move(reply));
      });
    });
  }

  void refuse(const beast::error_code& error) {
    std::optional<HttpReply> reply = refusal(endpoint_.error_field, error);
    keep_alive_ = false;
    refused_ = true;
    reply ? send(std::move(*reply)) : end();
  }

  void send(HttpReply&& reply) {
    response_ = response_to(parser_->get(), std::move(reply));
    response_.keep_alive(keep_alive_);
    serializer_.emplace(response_);
    write_some();
  }

  void write_some() {
    arm();
    http::async_write_some(stream_, *serializer_,
                           [this](const beast::error_code& error, std::size_t) {
                             if (!error && !serializer_->is_done()) return write_some();
                             if (!error && refused_) return drop_rest();
                             error || !keep_alive_ ? end() : read_header();
                           });
  }

  /// A client that is still writing its request when we close gets an error, and many then do not
  /// look for the reply: what comes is read and dropped, up to a limit and for one timeout.
  void drop_rest() {
    beast::error_code ignored;
    stream_.socket().shutdown(Protocol::socket::shutdown_send, ignored);
    buffer_.clear();
    arm();
    drop_some(kDropLimitBytes);
  }

  void drop_some(std::size_t left_bytes) {
    stream_.async_read_some(buffer_.prepare(kDropPieceBytes),
                            [this, left_bytes](const beast::error_code& error, std::size_t got) {
                              error || got >= left_bytes ? end() : drop_some(left_bytes - got);
                            });
  }

  /// Posts a copy of `ended_`, for it destroys this session and the original in it.
  void end() {
    asio::post(engine_.io, [ended = ended_, this] { ended(this); });
  }

  Engine& engine_;
  const HttpEndpoint& endpoint_;
  const std::function<void(const Session*)> ended_;
  beast::basic_stream<Protocol> stream_;
  const bool allowed_;  ///< what the peer's credentials say
  bool keep_alive_ = false;
  bool refused_ = false;  ///< by the parser: where the next request would begin is unknown
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::empty_body>> go_on_;
  Response response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
};

int listener_of(const HttpEndpoint& endpoint) {
  if (endpoint.listener >= 0) return endpoint.listener;
  return listen_unix(endpoint.socket_path, endpoint.socket_mode).release();
}

/// One endpoint: its listening socket and its connections.
class Listener {
 public:
  Listener(Engine& engine, HttpEndpoint endpoint, std::function<void()> session_ended)
      : engine_(engine),
        endpoint_(std::move(endpoint)),
        session_ended_(std::move(session_ended)),
        acceptor_(engine.io, Protocol(), listener_of(endpoint_)),
        pause_(engine.io) {
    acceptor_.non_blocking(true);
  }
  ~Listener() {
    if (endpoint_.listener < 0) ::unlink(endpoint_.socket_path.c_str());
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void accept() {
    if (engine_.stopping || accepting_ || sessions_.size() >= engine_.options.max_connections)
      return;
    accepting_ = true;
    acceptor_.async_wait(Protocol::acceptor::wait_read, [this](const beast::error_code&) {
      accepting_ = false;
      if (engine_.stopping) return;
      try {
        accept_one();
        accept();
      } catch (const std::exception& failure) {
        accept_later(failure.what());
      }
    });
  }

  void stop() {
    acceptor_.cancel();
    pause_.cancel();
    for (Session& session : sessions_) session.end_of_input();
  }

  bool has_sessions() const { return !sessions_.empty(); }

 private:
  void accept_one() {
    // Asio's own accept would leave the descriptor open in the programs that the daemon starts.
    Descriptor socket(
        ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)) return;
    if (!socket) throw_errno("accept a connection");
    sessions_.emplace_back(engine_, endpoint_, std::move(socket),
                           [this](const Session* session) { erase(session); });
    sessions_.back().read_header();
  }

  /// The process is out of descriptors or memory: others may give some back.
  void accept_later(const char* why) {
    log_error("http", endpoint_.socket_path + ": " + why);
    accepting_ = true;
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const beast::error_code&) {
      accepting_ = false;
      accept();
    });
  }

  void erase(const Session* session) {
    sessions_.remove_if([&](const Session& each) { return &each == session; });
    accept();
    session_ended_();
  }

  Engine& engine_;
  const HttpEndpoint endpoint_;
  const std::function<void()> session_ended_;
  Protocol::acceptor acceptor_;
  asio::steady_timer pause_;
  bool accepting_ = false;
  std::list<Session> sessions_;
};

void run(asio::io_context& context, const char* name) {
  ::pthread_setname_np(::pthread_self(), name);
  for (;;) {
    try {
      context.run();
      return;
    } catch (const std::exception& failure) {
      log_error("http", std::string("a connection is lost: ") + failure.what());
    }
  }
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(std::vector<HttpEndpoint> endpoints, const HttpServerOptions& options) : engine_(options) {
    for (HttpEndpoint& endpoint : endpoints)
      listeners_.emplace_back(engine_, std::move(endpoint), [this] { end_if_done(); });
    for (Listener& listener : listeners_) listener.accept();
    try {
      for (std::size_t i = 0; i < options.handler_threads; ++i)
        handlers_.emplace_back([this] { run(engine_.handlers, "http-work"); });
      io_ = std::thread([this] { run(engine_.io, "http"); });
    } catch (const std::system_error& error) {
      stop();
      throw StoreError(error.code().value(), "no thread can be started to serve HTTP");
    }
  }
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void stop() {
    std::call_once(stopped_, [this] {
      asio::post(engine_.io, [this] {
        engine_.stopping = true;
        for (Listener& listener : listeners_) listener.stop();
        end_if_done();
      });
      if (io_.joinable()) io_.join();
      handlers_guard_.reset();
      for (std::thread& thread : handlers_) thread.join();
      listeners_.clear();
    });
  }

 private:
  /// Lets the I/O thread end when the last session has, for handlers still post to it.
  void end_if_done() {
    if (!engine_.stopping) return;
    for (const Listener& listener : listeners_)
      if (listener.has_sessions()) return;
    io_guard_.reset();
  }

  Engine engine_;
  WorkGuard io_guard_{engine_.io.get_executor()};
  WorkGuard handlers_guard_{engine_.handlers.get_executor()};
  std::list<Listener> listeners_;
  std::vector<std::thread> handlers_;
  std::thread io_;
  std::once_flag stopped_;
};

HttpServer::HttpServer(std::vector<HttpEndpoint> endpoints, const HttpServerOptions& options)
    : impl_(std::make_unique<Impl>(std::move(endpoints), options)) {}

HttpServer::~HttpServer() = default;

void HttpServer::stop() { impl_->stop(); }

}  // namespace varve
