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
#include <optional>
#include <thread>
#include <vector>

#include "mountd/control_api.h"
#include "mountd/http_server.h"
#include "mountd/keeper/keeper.h"
#include "mountd/keeper/keeper_lock.h"
#include "mountd/memory_limit.h"
#include "mountd/plugin/plugin_service.h"
#include "mountd/privileges.h"
#include "mountd/store_location.h"
#include "mountd/trash_purge.h"
#include "mountd/unix_socket.h"
#include "store/base/disk.h"
#include "store/base/error.h"
#include "store/base/log.h"
#include "store/base/mutex.h"

namespace varve {
namespace {

using Clock = std::chrono::steady_clock;

/// How long a daemon that was told to end waits for programs that still use its files.
constexpr std::chrono::milliseconds kStopWait{5000};
/// How long the process before this one may hold the store.
constexpr std::chrono::seconds kLockWait{20};
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
  Daemon(const DaemonOptions& options, std::unique_ptr<Repository> repository, Keeper* keeper,
         std::vector<KeeperLegacy::Mount> legacy)
      : options_(options),
        repository_(std::move(repository)),
        mounts_(*repository_, options.store, &FuseMount::mount, keeper),
        keeper_(keeper),
        rules_(Disk::host(), rules_path(options.store)),
        api_(*repository_, &mounts_, hooks()) {
    for (KeeperLegacy::Mount& mount : legacy) resume(std::move(mount));
    repository_->end_resume();
    if (options.mount) mounts_.mount(*options.mount);
    std::vector<HttpEndpoint> endpoints;
    endpoints.push_back({control_socket_path(options.store),
                         [this](const HttpRequest& request) { return serve(request); }});
    if (!options.plugin_sockets.empty()) {
      plugin_.emplace(*repository_, mounts_, rules_, options.plugin_sockets);
      for (HttpEndpoint& endpoint : plugin_->endpoints()) endpoints.push_back(std::move(endpoint));
    }
    server_ = std::make_unique<HttpServer>(std::move(endpoints), server_options());
  }

  void run_until_end(const sigset_t& signals) {
    while (!stop_ && upgrade().empty() && !is_idle()) {
      trash_purge_.tick();
      const timespec tick{0, 200'000'000};
      const int signal = ::sigtimedwait(&signals, nullptr, &tick);
      if (signal == SIGTERM || signal == SIGINT) {
        log_info("daemon", "ends on a signal");
        return;
      }
    }
  }

  /// The program that is to follow; empty: none.
  std::string upgrade() const {
    const MutexLock lock(upgrade_mutex_);
    return upgrade_;
  }

  /// Leaves the mounts to the keeper and the next program. What is being answered at this moment is
  /// what a killed daemon leaves, and the successor answers it.
  /// Returns if that cannot be: then it ends in order.
  void leave() {
    mounts_.refuse_new(true);
    server_->stop();
    try {
      repository_->commit();  // the successor has little to replay
    } catch (const Error& error) {
      log_warn("daemon", std::string("commit before the upgrade: ") + error.what());
    }
    try {
      keeper_->upgrade(upgrade());
    } catch (const Error& error) {
      log_error("daemon", std::string("no upgrade, the daemon ends: ") + error.what());
      return;
    }
    log_info("daemon", "leaves for " + upgrade());
    ::_exit(0);
  }

  void close() {
    mounts_.refuse_new(true);
    server_->stop();
    plugin_.reset();  // waits for what its calls have begun
    unmount_rest();
    mounts_.wait_until_empty(kStopWait);
    mounts_.abort_all();
    repository_->close();
    log_info("daemon", "has ended; store " + options_.store + " is closed");
  }

 private:
  ControlApi::Hooks hooks() {
    ControlApi::Hooks hooks;
    hooks.stop = [this] { stop_ = true; };
    hooks.keeper = keeper_;
    hooks.upgrade = [this](const std::string& program) {
      keeper_->require();
      const MutexLock lock(upgrade_mutex_);
      upgrade_ = program;
    };
    hooks.containers = [this](const std::string& volume) {
      return plugin_ ? plugin_->volumes().holders(volume) : std::vector<std::string>{};
    };
    hooks.plugin_sockets = options_.plugin_sockets;
    hooks.rules = &rules_;
    return hooks;
  }

  /// With enough threads for every connection a call of the plugin that waits keeps no other up.
  HttpServerOptions server_options() const {
    HttpServerOptions options;
    options.handler_threads +=
        options.max_connections * static_cast<std::size_t>(options_.plugin_sockets.size());
    return options;
  }

  /// The others are served all the same.
  void resume(KeeperLegacy::Mount mount) {
    const std::uint64_t number = mount.number;
    const std::string where = mount.about.target + " at " + mount.about.mount_point;
    try {
      mounts_.resume(std::move(mount));
    } catch (const std::exception& error) {
      log_error("daemon",
                where + " could not be taken over, its programs get errors: " + error.what());
      keeper_->forget(number);
    }
  }

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
    if (plugin_) return false;
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
  Keeper* const keeper_;  ///< null: none
  mutable Mutex upgrade_mutex_;
  std::string upgrade_ GUARDED_BY(upgrade_mutex_);
  VolumeRules rules_;
  ControlApi api_;
  std::optional<PluginService> plugin_;
  TrashPurge trash_purge_{*repository_, options_.purge_after_seconds};
  std::unique_ptr<HttpServer> server_;
};

/// The process that is dying may hold the store for a moment.
std::unique_ptr<Repository> open_after(const DaemonOptions& options, const KeeperLegacy& legacy) {
  RepositoryOptions repository = within_memory_limit(options.repository);
  auto& resumed = repository.resumed.emplace();
  for (const KeeperLegacy::Mount& mount : legacy.mounts)
    if (mount.about.target.find('@') == std::string::npos)
      resumed.emplace(VolumeId{mount.about.volume_id}, mount.about.since_lsn);
  const auto give_up = Clock::now() + kLockWait;
  for (;;) {
    try {
      return Repository::open(Disk::host(), options.store, false, repository);
    } catch (const UserError& error) {
      if (error.code() != EBUSY || Clock::now() >= give_up) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::unique_ptr<Daemon> start(const DaemonOptions& options, Keeper* keeper, KeeperLegacy* legacy) {
  Disk& disk = Disk::host();
  if (legacy != nullptr) {
    if (options.log_to_file) redirect_output(options.store);
    auto daemon = std::make_unique<Daemon>(options, open_after(options, *legacy), keeper,
                                           std::move(legacy->mounts));
    keeper->ready();
    return daemon;
  }
  refuse_if_kept(options.store);
  // The log can only be in a store that exists; a new store is made first.
  const bool exists = Store::exists(disk, options.store);
  if (options.log_to_file && exists) redirect_output(options.store);
  auto repository = Repository::open(disk, options.store, options.create_store,
                                     within_memory_limit(options.repository));
  if (options.log_to_file && !exists) redirect_output(options.store);
  return std::make_unique<Daemon>(options, std::move(repository), keeper,
                                  std::vector<KeeperLegacy::Mount>{});
}

std::unique_ptr<Keeper> make_keeper(const DaemonOptions& options, KeeperLegacy* legacy) {
  const KeeperHello about{options.store, options.successor, 0, !options.plugin_sockets.empty()};
  if (legacy != nullptr) return std::make_unique<Keeper>(about, *legacy);
  if (!options.keeper || options.mount) return nullptr;
  return std::make_unique<Keeper>(about);
}

/// The mounts must live on, so nothing is taken down: the keeper starts another one.
[[noreturn]] void give_up(Keeper& keeper, const std::string& sentence) {
  log_error("daemon", "cannot take the mounts over: " + sentence);
  try {
    keeper.failed(sentence);
  } catch (const Error& error) {
    log_error("daemon", error.what());
  }
  ::_exit(1);
}

}  // namespace

void run_daemon(const DaemonOptions& options) {
  const sigset_t signals = block_signals();
  drop_privileges();
  keep_memory_small();
  if (::chdir("/") != 0) throw_errno("change to the root directory");
  std::optional<KeeperLegacy> legacy;
  if (options.keeper_socket >= 0) legacy = KeeperLegacy::receive(Descriptor(options.keeper_socket));
  const auto keeper = make_keeper(options, legacy ? &*legacy : nullptr);
  std::unique_ptr<Daemon> daemon;
  try {
    daemon = start(options, keeper.get(), legacy ? &*legacy : nullptr);
  } catch (const Error& error) {
    if (legacy) give_up(*keeper, error.what());
    report(options.ready_socket, error.code(), error.what());
    throw;
  } catch (const std::exception& failure) {
    if (legacy) give_up(*keeper, failure.what());
    report(options.ready_socket, EIO, failure.what());
    throw;
  }
  log_info("daemon", "pid " + std::to_string(::getpid()) + " serves store " + options.store);
  report(options.ready_socket, 0, "ready");
  if (keeper && !legacy) keeper->began();
  daemon->run_until_end(signals);
  if (!daemon->upgrade().empty()) daemon->leave();
  // It was to end, however that goes.
  try {
    daemon->close();
  } catch (...) {
    if (keeper) keeper->goodbye();
    throw;
  }
  if (keeper) keeper->goodbye();
}

}  // namespace varve
