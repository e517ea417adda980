// SPDX-License-Identifier: Apache-2.0
#include "mountd/daemon.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <vector>

#include "mountd/control_api.h"
#include "mountd/http_server.h"
#include "mountd/memory_limit.h"
#include "mountd/privileges.h"
#include "mountd/store_location.h"
#include "mountd/unix_socket.h"
#include "store/base/disk.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

using Clock = std::chrono::steady_clock;

/// How long a daemon that was told to end waits for programs that still use its files.
constexpr std::chrono::milliseconds kStopWait{5000};
constexpr off_t kLogLimitBytes = 16 << 20;

void report(int socket, int code, const std::string& sentence) {
  if (socket < 0) return;
  const std::string text = std::to_string(code) + " " + sentence;
  // A starter that has gone away is no reason to fail.
  (void)::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
  ::close(socket);
}

/// Ends belong to the main thread alone: every thread made later inherits the blocked set.
sigset_t block_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

void redirect_output(const std::string& store) {
  const std::string path = daemon_log_path(store);
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && status.st_size > kLogLimitBytes)
    ::rename(path.c_str(), (path + ".1").c_str());
  const Descriptor log(
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!log) throw_errno("open the daemon's log " + path);
  if (::dup2(log.get(), STDOUT_FILENO) < 0 || ::dup2(log.get(), STDERR_FILENO) < 0)
    throw_errno("redirect the output to " + path);
}

/// Counts requests, so that a daemon does not end under one, nor just after.
class Activity {
 public:
  void begin() { ++running_; }
  void end() {
    last_ = Clock::now().time_since_epoch().count();
    --running_;
  }
  void touch() { last_ = Clock::now().time_since_epoch().count(); }
  bool idle_for(std::chrono::seconds time) const {
    const Clock::time_point last{Clock::duration{last_.load()}};
    return running_ == 0 && Clock::now() - last >= time;
  }

 private:
  std::atomic<int> running_{0};
  std::atomic<Clock::rep> last_{Clock::now().time_since_epoch().count()};
};

/// The parts of a running daemon, taken down in order by its end.
class Daemon {
 public:
  Daemon(const DaemonOptions& options, std::unique_ptr<Repository> repository)
      : options_(options),
        repository_(std::move(repository)),
        mounts_(*repository_, options.store),
        api_(*repository_, &mounts_, {[this] { stop_ = true; }, {}}) {
    if (options.mount) mounts_.mount(*options.mount);
    std::vector<HttpEndpoint> endpoints;
    endpoints.push_back({control_socket_path(options.store),
                         [this](const HttpRequest& request) { return serve(request); }});
    server_ = std::make_unique<HttpServer>(std::move(endpoints));
  }

  void run_until_end(const sigset_t& signals) {
    while (!stop_ && !is_idle()) {
      const timespec tick{0, 200'000'000};
      const int signal = ::sigtimedwait(&signals, nullptr, &tick);
      if (signal == SIGTERM || signal == SIGINT) {
        log_info("daemon", "ends on a signal");
        return;
      }
    }
  }

  void close() {
    mounts_.refuse_new(true);
    server_->stop();
    unmount_rest();
    mounts_.wait_until_empty(kStopWait);
    mounts_.abort_all();
    repository_->close();
    log_info("daemon", "has ended; store " + options_.store + " is closed");
  }

 private:
  HttpReply serve(const HttpRequest& request) {
    activity_.begin();
    HttpReply reply = api_.handle(request);
    activity_.end();
    return reply;
  }

  bool is_idle() {
    if (!mounts_.empty()) {
      activity_.touch();
      return false;
    }
    if (options_.mount) return true;
    return options_.idle_exit_seconds != 0 &&
           activity_.idle_for(std::chrono::seconds(options_.idle_exit_seconds)) &&
           repository_->pending_deletions() == 0 && !repository_->scrub_progress().running;
  }

  /// Mounts that are in use are detached: their users may finish until the daemon is gone.
  void unmount_rest() {
    try {
      mounts_.unmount_all(FuseMount::Busy::kDetach);
    } catch (const Error& error) {
      log_error("daemon", std::string("unmount at the end: ") + error.what());
    }
  }

  const DaemonOptions& options_;
  std::unique_ptr<Repository> repository_;
  std::atomic<bool> stop_{false};
  Activity activity_;
  LiveMounts mounts_;
  ControlApi api_;
  std::unique_ptr<HttpServer> server_;
};

std::unique_ptr<Daemon> start(const DaemonOptions& options) {
  Disk& disk = Disk::host();
  // The log can only be in a store that exists; a new store is made first.
  const bool exists = Store::exists(disk, options.store);
  if (options.log_to_file && exists) redirect_output(options.store);
  auto repository = Repository::open(disk, options.store, options.create_store,
                                     within_memory_limit(options.repository));
  if (options.log_to_file && !exists) redirect_output(options.store);
  return std::make_unique<Daemon>(options, std::move(repository));
}

}  // namespace

void run_daemon(const DaemonOptions& options) {
  const sigset_t signals = block_signals();
  drop_privileges();
  keep_memory_small();
  if (::chdir("/") != 0) throw_errno("change to the root directory");
  std::unique_ptr<Daemon> daemon;
  try {
    daemon = start(options);
  } catch (const Error& error) {
    report(options.ready_socket, error.code(), error.what());
    throw;
  } catch (const std::exception& failure) {
    report(options.ready_socket, EIO, failure.what());
    throw;
  }
  log_info("daemon", "pid " + std::to_string(::getpid()) + " serves store " + options.store);
  report(options.ready_socket, 0, "ready");
  daemon->run_until_end(signals);
  daemon->close();
}

}  // namespace varve
