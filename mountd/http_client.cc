// SPDX-License-Identifier: Apache-2.0
#include "mountd/http_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>

#include "store/base/error.h"

namespace varve {
namespace {

[[noreturn]] void fail_protocol(const char* what) {
  throw StoreError(EPROTO, std::string("the daemon's reply is not understood: ") + what);
}

/// The value of header `name` (lower case) in `head`, without blanks around it.
std::optional<std::string> header(std::string_view head, std::string_view name) {
  std::size_t at = head.find("\r\n");
  while (at != std::string_view::npos && at + 2 < head.size()) {
    at += 2;
    const std::size_t end = std::min(head.find("\r\n", at), head.size());
    const std::string_view line = head.substr(at, end - at);
    const std::size_t colon = line.find(':');
    const bool same = colon == name.size() &&
                      std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) {
                        return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
                      });
    if (same) {
      std::string_view value = line.substr(colon + 1);
      while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
      while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
      return std::string(value);
    }
    at = head.find("\r\n", at);
  }
  return std::nullopt;
}

template <class Number>
Number number(std::string_view text, const char* what) {
  Number value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{} || result.ptr != text.data() + text.size()) fail_protocol(what);
  return value;
}

}  // namespace

std::optional<HttpClient> HttpClient::connect(const std::string& socket_path) {
  Descriptor socket = connect_unix(socket_path);
  if (socket) return HttpClient(std::move(socket));
  if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) return std::nullopt;
  throw_errno("connect to the daemon at " + socket_path);
}

bool HttpClient::receive() {
  pollfd entry{socket_.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) throw StoreError(ETIMEDOUT, "the daemon does not answer");
  std::array<char, 16 * 1024> buffer;
  const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (count < 0 && errno == EINTR) return true;
  // The kernel resets a connection that is closed before its last request was read.
  if (count < 0) throw StoreError(ECONNRESET, "the daemon closed the connection");
  if (count == 0) return false;
  received_.append(buffer.data(), static_cast<std::size_t>(count));
  return true;
}

HttpReply HttpClient::call(std::string_view method, std::string_view target,
                           std::string_view body) {
  std::string request;
  request.reserve(160 + target.size() + body.size());
  request.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: varve\r\n");
  if (!body.empty() || method != "GET") {
    request += "Content-Type: application/json\r\nContent-Length: ";
    request += std::to_string(body.size()) + "\r\n";
  }
  request.append("\r\n").append(body);
  for (std::size_t sent = 0; sent < request.size();) {
    const ssize_t count =
        ::send(socket_.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw StoreError(ECONNRESET, "the daemon closed the connection");
    sent += static_cast<std::size_t>(count);
  }
  std::size_t head_end = 0;
  while ((head_end = received_.find("\r\n\r\n")) == std::string::npos)
    if (!receive()) throw StoreError(EPIPE, "the daemon went away before it answered");
  const std::string_view head(received_.data(), head_end);
  if (head.substr(0, 7) != "HTTP/1." || head.size() < 12) fail_protocol("no status line");
  HttpReply reply;
  reply.status = number<int>(head.substr(9, 3), "the status");
  reply.content_type = header(head, "content-type").value_or("");
  const auto length = header(head, "content-length");
  if (!length) fail_protocol("no length");
  const auto size = number<std::size_t>(*length, "the length");
  const std::size_t body_begin = head_end + 4;
  while (received_.size() - body_begin < size)
    if (!receive()) throw StoreError(EPIPE, "the daemon went away in the middle of its answer");
  reply.body = received_.substr(body_begin, size);
  received_.erase(0, body_begin + size);
  return reply;
}

}  // namespace varve
