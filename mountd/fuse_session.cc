// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_session.h"

#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mountd/argv.h"
#include "mountd/fuse_adapter.h"
#include "mountd/fuse_brief_wait.h"
#include "mountd/fuse_library.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

constexpr unsigned kUringDepth = 32;  // requests per core

void log_of_library(fuse_log_level level, const char* format, va_list values) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, values);
  std::string line = text;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  if (level <= FUSE_LOG_ERR)
    log_error("libfuse", line);
  else if (level <= FUSE_LOG_WARNING)
    log_warn("libfuse", line);
  else
    log(LogLevel::kDebug, "libfuse", line);
}

FuseConnection& connection_of_data(void* data) { return *static_cast<FuseConnection*>(data); }

/// Lets FuseReaders cancel the thread for a scope.
class Cancellable {
 public:
  Cancellable() { pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before_); }
  ~Cancellable() { pthread_setcancelstate(before_, nullptr); }
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;

 private:
  int before_ = 0;
};

bool is_readable(int device) {
  const Cancellable here;
  pollfd state{device, POLLIN, 0};
  return ::poll(&state, 1, 0) > 0;  // or the end, which a read finds
}

ssize_t interruptible_read(int device, void* buffer, std::size_t size) {
  const Cancellable here;
  return ::read(device, buffer, size);
}

/// One read(2) of /dev/fuse, with the traffic told before and after. The thread may be cancelled in
/// it, which unwinds the stack, so neither it nor its callers may be noexcept.
ssize_t read_device(int device, void* buffer, std::size_t size, void* data) {
  FuseConnection& connection = connection_of_data(data);
  connection.traffic.before_read();
  const ssize_t got = interruptible_read(device, buffer, size);
  const int error = errno;
  const auto* bytes = static_cast<const std::byte*>(buffer);
  if (got > 0) connection.handshake.saw_request({bytes, static_cast<std::size_t>(got)});
  connection.traffic.after_read({bytes, got > 0 ? static_cast<std::size_t>(got) : 0},
                                connection.long_setxattr.load(std::memory_order_relaxed));
  errno = error == ECONNABORTED ? ENODEV : error;
  return got;
}

ssize_t write_device(int device, iovec* parts, int count, void* data) {
  if (!connection_of_data(data).handshake.saw_reply(parts, count))
    return ::writev(device, parts, count);
  std::size_t size = 0;
  for (int i = 0; i < count; ++i) size += parts[i].iov_len;
  return static_cast<ssize_t>(size);
}

/// The kernel sends these in turn with requests, however many of those wait.
bool overtakes(const WireRequest& request) {
  return request.opcode == FUSE_FORGET || request.opcode == FUSE_BATCH_FORGET ||
         request.opcode == FUSE_INTERRUPT;
}

fuse_session* new_session(FuseConnection& connection) {
  std::vector<std::string> words = {"varve"};
  if (connection.options.transport == FuseMount::Transport::kUring) {
    words.emplace_back("-oio_uring");
    words.emplace_back("-oio_uring_q_depth=" + std::to_string(kUringDepth));
  }
  std::vector<char*> pointers = argv_of(words);
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(words.size()), pointers.data());
  const fuse_lowlevel_ops operations = fuse_operations();
  fuse_session* session = fuse_session_new(&arguments, &operations, sizeof operations, &connection);
  fuse_opt_free_args(&arguments);
  return session;
}

/// Reads requests through libfuse into a buffer of its own, and has libfuse answer them.
class SessionTurn final : public FuseReaders::Turn {
 public:
  SessionTurn(fuse_session* session, FuseConnection& connection)
      : session_(session),
        connection_(connection),
        brief_(std::thread::hardware_concurrency() > 1) {}
  ~SessionTurn() override { std::free(buffer_.mem); }
  SessionTurn(const SessionTurn&) = delete;
  SessionTurn& operator=(const SessionTurn&) = delete;

  bool receive() override {
    const int device = fuse_session_fd(session_);
    brief_.wait([device] { return is_readable(device); });
    int got = 0;
    do {
      got = fuse_session_receive_buf(session_, &buffer_);
    } while (got == -EINTR || got == -EAGAIN);
    if (got < 0)
      log_warn("fuse", connection_.options.fsname + ": serving ended: " + errno_text(-got));
    return got > 0;
  }

  bool answer() override {
    fuse_session_process_buf(session_, &buffer_);
    connection_.traffic.end_request();
    return fuse_session_exited(session_) == 0;
  }

 private:
  fuse_session* const session_;
  FuseConnection& connection_;
  FuseBriefWait brief_;
  fuse_buf buffer_{};
};

}  // namespace

// NOLINTNEXTLINE(misc-redundant-expression): equal for the newest libfuse only
bool FuseSession::knows_uring() { return FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18); }

FuseSession::FuseSession(FuseConnection& connection, int device)
    : connection_(connection), readers_(connection.options.max_threads) {
  fuse_set_log_func(&log_of_library);
  session_ = new_session(connection);
  fuse_custom_io io{};
  io.read = &read_device;
  io.writev = &write_device;
  if (session_ == nullptr || fuse_session_custom_io(session_, &io, device) != 0) {
    if (session_ != nullptr) fuse_session_destroy(session_);
    ::close(device);
    throw UserError(ENOSYS,
                    "this libfuse cannot be given a device (custom I/O is missing); build Varve "
                    "with its own libfuse");
  }
  MutexLock lock(mutex_);
  device_ = device;
}

FuseSession::~FuseSession() {
  if (session_ != nullptr) fuse_session_destroy(session_);
}

void FuseSession::take_over(const FuseAgreement& agreement) {
  Bytes request = agreement.narrowed_request();
  connection_.handshake.begin_replay();
  connection_.handshake.saw_request(request);
  fuse_buf buffer{};
  buffer.mem = request.data();
  buffer.size = request.size();
  fuse_session_process_buf(session_, &buffer);
  if (!agreement.is_same(connection_.handshake.agreement().reply))
    throw StoreError(EPROTO, connection_.options.mountpoint +
                                 ": this program would agree on something else with the kernel "
                                 "than the one that mounted it; unmount and mount again");
  connection_.handshake.keep(agreement);
  connection_.caches.resume();
  connection_.races.tell_all();
}

/// The kernel puts what it sends again before everything else, so the first new request, or none,
/// says that this was all. One thread answers: then it is answered, too.
void FuseSession::answer_again() {
  if (const int error = notify(notify_resend()); error != 0)
    throw StoreError(error, "the kernel does not send requests again: " + errno_text(error));
  SessionTurn turn(session_, connection_);
  while (connected() && has_request()) {
    if (!turn.receive()) return;
    const WireRequest request = FuseTraffic::wire_request();
    turn.answer();
    if (!request.comes_again && !overtakes(request)) return;
  }
}

bool FuseSession::has_request() const {
  MutexLock lock(mutex_);
  pollfd state{device_, POLLIN, 0};
  return device_ >= 0 && ::poll(&state, 1, 0) > 0 && (state.revents & POLLIN) != 0;
}

void FuseSession::serve() {
  if (connection_.options.transport == FuseMount::Transport::kUring)
    loop_with_uring();
  else
    loop();
  connection_.slow.finish();  // their replies need the session
  {
    MutexLock lock(mutex_);
    device_ = -1;
    while (notifying_ != 0) notified_.wait(mutex_);
  }
  connection_.caches.stop();
  fuse_session_destroy(session_);
  session_ = nullptr;
}

void FuseSession::loop() {
  readers_.run([this] { return std::make_unique<SessionTurn>(session_, connection_); });
}

/// The rings have threads of their own; only the first request and FORGETs come here. When it ends,
/// nothing may use a ring any more, so slow calls finish before libfuse frees them.
void FuseSession::loop_with_uring() {
  fuse_buf buffer{};
  while (fuse_session_exited(session_) == 0) {
    const int got = fuse_session_receive_buf(session_, &buffer);
    if (got == -EINTR || got == -EAGAIN) continue;
    if (got <= 0) break;
    fuse_session_process_buf(session_, &buffer);
  }
  std::free(buffer.mem);
  fuse_session_exit(session_);
  connection_.slow.finish();
  fuse_session_loop(session_);  // has exited already: stops the rings
}

bool FuseSession::stop() {
  if (connection_.options.transport == FuseMount::Transport::kUring) return false;
  readers_.stop();
  return true;
}

bool FuseSession::connected() const {
  MutexLock lock(mutex_);
  if (device_ < 0) return false;
  pollfd state{device_, 0, 0};
  return ::poll(&state, 1, 0) == 0;
}

int FuseSession::descriptor() const {
  MutexLock lock(mutex_);
  return device_;
}

int FuseSession::notify(ByteView notification) const {
  int device = -1;
  {
    MutexLock lock(mutex_);
    if (device_ < 0) return ENODEV;
    device = device_;
    ++notifying_;
  }
  const ssize_t written = ::write(device, notification.data(), notification.size());
  const int error = written < 0 ? errno : 0;
  MutexLock lock(mutex_);
  if (--notifying_ == 0) notified_.notify_all();
  return error;
}

}  // namespace varve
