// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <string>
#include <utility>
#include <variant>

#include "mountd/fuse_connection.h"
#include "mountd/fuse_library.h"
#include "store/base/about_to_wait.h"
#include "store/base/error.h"

namespace varve {

inline FuseConnection& connection_of(fuse_req_t request) {
  return *static_cast<FuseConnection*>(fuse_req_userdata(request));
}
inline Volume& volume_of(fuse_req_t request) { return *connection_of(request).volume; }

/// True if the request has come through io_uring.
inline bool over_uring([[maybe_unused]] fuse_req_t request) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
  return fuse_req_is_uring(request);
#else
  return false;
#endif
}

/// Counts the request; the first thing every handler does.
inline FuseConnection& begin(fuse_req_t request, RequestType type) {
  FuseConnection& connection = connection_of(request);
  connection.traffic.count(type);
  if (over_uring(request)) connection.uring_seen.store(true, std::memory_order_relaxed);
  return connection;
}

/// Copying as much takes about as long as waking another thread, which reads on meanwhile.
inline constexpr std::size_t kLongCopy = 64u << 10;

/// PosixError(EINVAL) for a negative one.
inline std::uint64_t unsigned_offset(off_t offset) {
  if (offset < 0) throw PosixError(EINVAL);
  return static_cast<std::uint64_t>(offset);
}

/// What a request can be answered with; one send() each.
struct Done {};
struct Refused {
  int code;
};  ///< an errno without an exception
struct NewName {
  Ino parent;
  const char* name;
  Attributes attributes;
};
struct NoName {
  Ino parent;
  const char* name;
};  ///< cached as absent
struct NewFile {
  Attributes attributes;
  fuse_file_info file;
};
struct Attr {
  Attributes attributes;
};
struct Text {
  std::string text;
};
struct Data {
  ByteView bytes;
};  ///< must live until it is sent
struct Written {
  std::size_t size_bytes;
};
struct Position {
  std::uint64_t offset;
};
struct ValueSize {
  std::size_t size_bytes;
};

void send(fuse_req_t request, Done);
void send(fuse_req_t request, Refused);
void send(fuse_req_t request, const NewName& entry);
void send(fuse_req_t request, const NoName& entry);
void send(fuse_req_t request, NewFile file);
void send(fuse_req_t request, const Attr& attributes);
void send(fuse_req_t request, const Text& text);
void send(fuse_req_t request, const Data& data);
void send(fuse_req_t request, Written written);
void send(fuse_req_t request, Position position);
void send(fuse_req_t request, ValueSize size);
void send(fuse_req_t request, const FileSystemFigures& figures);
template <class... Replies>
void send(fuse_req_t request, const std::variant<Replies...>& reply) {
  std::visit([request](const auto& chosen) { send(request, chosen); }, reply);
}

/// As libfuse wants them, with infinite timeouts: nobody else changes the volume. None for what is
/// brief.
struct stat to_stat(const Attributes& attributes);
fuse_entry_param to_entry(const Attributes& attributes);
inline constexpr double kForever = 86400.0 * 365 * 10;

/// The errno for the exception being handled. What is no everyday refusal is counted and logged,
/// each sentence once.
int errno_of_current_exception(FuseConnection& connection);

/// io_uring's threads are cancelled when a session ends; a handler must be finished first, because
/// cancellation unwinds and no handler lets anything pass.
class NoCancel {
 public:
  NoCancel() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancel() { pthread_setcancelstate(before_, nullptr); }
  NoCancel(const NoCancel&) = delete;
  NoCancel& operator=(const NoCancel&) = delete;

 private:
  int before_ = 0;
};

/// Runs `body` and sends what it returns, or the errno of what it throws: the only place where
/// exceptions become errnos. `body` must not reply itself.
template <class Body>
void answer(fuse_req_t request, Body&& body) {
  const NoCancel uncancelled;
  int code = 0;
  try {
    send(request, std::forward<Body>(body)());
    return;
  } catch (...) {
    code = errno_of_current_exception(connection_of(request));
  }
  fuse_reply_err(request, code);
}

/// The request that the calling thread has read: a change that it asks for must be made once,
/// although the kernel may send it again to the process after this one.
struct ServedRequest {
  RequestId id = kNoRequest;
  bool comes_again = false;
};
inline ServedRequest served_request(fuse_req_t request) {
  const WireRequest& wire = FuseTraffic::wire_request();
  if (over_uring(request) || !wire.known) return {};
  return {RequestId{wire.unique}, wire.comes_again};
}

/// Tells the volume, when it is destroyed, that the request has its answer. Must not outlive the
/// serving of the connection.
class ToldAnswered {
 public:
  ToldAnswered(FuseConnection& connection, RequestId id) : connection_(&connection), id_(id) {}
  ~ToldAnswered() {
    if (connection_ != nullptr) connection_->volume->answered(id_);
  }
  ToldAnswered(ToldAnswered&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)), id_(other.id_) {}
  ToldAnswered& operator=(ToldAnswered&&) = delete;

 private:
  FuseConnection* connection_;
  RequestId id_;
};

/// Makes the change, `body`, or says what it was if an earlier process has made it, `again`. Both
/// give the same kind of reply.
template <class Body, class Again>
auto make_once(Volume& volume, const ServedRequest& served, const Body& body, const Again& again) {
  if (served.comes_again)
    if (const auto earlier = volume.applied_before(served.id)) return again(*earlier);
  const RequestScope scope(served.id);
  return body();
}

/// Answers a request for a change.
template <class Body, class Again>
void answer_once(fuse_req_t request, const Body& body, const Again& again) {
  const ServedRequest served = served_request(request);
  const ToldAnswered afterwards(connection_of(request), served.id);
  answer(request, [&] { return make_once(volume_of(request), served, body, again); });
}

/// Answers a request for a change about which there is nothing to say.
template <class Change>
void answer_done(fuse_req_t request, const Change& change) {
  answer_once(
      request,
      [&] {
        change(volume_of(request));
        return Done{};
      },
      [](const AppliedRequest&) { return Done{}; });
}

/// Counts requests that are answered by threads which should be reading, for a scope.
class InlineCall {
 public:
  explicit InlineCall(std::atomic<unsigned>& calls) : calls_(calls), before_(calls.fetch_add(1)) {}
  ~InlineCall() { calls_.fetch_sub(1); }
  InlineCall(const InlineCall&) = delete;
  InlineCall& operator=(const InlineCall&) = delete;
  unsigned others() const { return before_; }

 private:
  std::atomic<unsigned>& calls_;
  const unsigned before_;
};

/// The same for what waits long: here if another thread reads on meanwhile and few do so, else in a
/// thread of its own. `body` is copied: it owns what it uses.
template <class Body>
void answer_slowly(fuse_req_t request, Body body) {
  const NoCancel uncancelled;
  FuseConnection& connection = connection_of(request);
  const InlineCall running(connection.inline_waits);
  if (running.others() < connection.options.max_threads / 4 && about_to_wait())
    return answer(request, body);
  try {
    connection.slow.run([request, body] { answer(request, body); });
  } catch (...) {
    fuse_reply_err(request, errno_of_current_exception(connection));
  }
}

}  // namespace varve
