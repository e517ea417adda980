// SPDX-License-Identifier: Apache-2.0
#include "mountd/http_client.h"

#include <cerrno>
#include <chrono>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "mountd/unix_socket.h"
#include "store/base/error.h"

namespace varve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using Protocol = asio::local::stream_protocol;

http::request<http::string_body> request_of(std::string_view method, std::string_view target,
                                            std::string_view body) {
  http::request<http::string_body> request;
  request.method_string({method.data(), method.size()});
  request.target({target.data(), target.size()});
  request.set(http::field::host, "varve");
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  request.body() = body;
  request.prepare_payload();
  return request;
}

[[noreturn]] void fail(const beast::error_code& error) {
  if (error == beast::error::timeout) throw StoreError(ETIMEDOUT, "the daemon does not answer");
  if (error == asio::error::connection_reset || error == asio::error::broken_pipe)
    throw StoreError(ECONNRESET, "the daemon closed the connection");
  if (error == http::error::end_of_stream)
    throw StoreError(EPIPE, "the daemon went away before it answered");
  if (error == http::error::partial_message)
    throw StoreError(EPIPE, "the daemon went away in the middle of its answer");
  throw StoreError(EPROTO, "the daemon's reply is not understood: " + error.message());
}

}  // namespace

/// Beast's time limits need asynchronous calls; each of these runs one to its end.
class HttpClient::Connection {
 public:
  explicit Connection(Descriptor socket)
      : stream_(Protocol::socket(io_, Protocol(), socket.get())) {
    (void)socket.release();
  }

  void limit(std::chrono::milliseconds time) { stream_.expires_after(time); }

  beast::error_code write(const http::request<http::string_body>& request) {
    beast::error_code result;
    http::async_write(stream_, request,
                      [&](beast::error_code error, std::size_t) { result = error; });
    run();
    return result;
  }

  beast::error_code read(http::response_parser<http::string_body>& parser) {
    beast::error_code result;
    http::async_read(stream_, buffer_, parser,
                     [&](beast::error_code error, std::size_t) { result = error; });
    run();
    return result;
  }

 private:
  void run() {
    io_.restart();
    io_.run();
  }

  asio::io_context io_{1};
  beast::basic_stream<Protocol> stream_;
  beast::flat_buffer buffer_;  ///< bytes that no reply has used yet
};

HttpClient::HttpClient(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

std::optional<HttpClient> HttpClient::connect(const std::string& socket_path) {
  Descriptor socket = connect_unix(socket_path);
  if (socket) return HttpClient(std::make_unique<Connection>(std::move(socket)));
  if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) return std::nullopt;
  throw_errno("connect to the daemon at " + socket_path);
}

HttpReply HttpClient::call(std::string_view method, std::string_view target,
                           std::string_view body) {
  connection_->limit(std::chrono::milliseconds(timeout_ms));
  const beast::error_code sent = connection_->write(request_of(method, target, body));
  http::response_parser<http::string_body> parser;
  parser.body_limit(boost::none);  // a diff may be long
  parser.skip(method == "HEAD");
  // A request that was refused before it was sent whole still has its reply.
  const beast::error_code received = connection_->read(parser);
  if (sent && (received || parser.get().result_int() < 400)) fail(sent);
  if (received) fail(received);
  // Without a length the end of a connection that was cut would look like the end of the reply.
  if (!parser.content_length() && !parser.chunked())
    throw StoreError(EPROTO, "the daemon's reply is not understood: it has no length");
  http::response<http::string_body> response = parser.release();
  return {static_cast<int>(response.result_int()), std::string(response[http::field::content_type]),
          std::move(response.body())};
}

}  // namespace varve
