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
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#include "mountd/control_api.h"
#include "mountd/http_server.h"
#include "mountd/keeper/keeper.h"
#include "mountd/keeper/keeper_lock.h"
#include "mountd/life_lock.h"
#include "mountd/memory_limit.h"
#include "mountd/plugin/plugin_service.h"
#include "mountd/privileges.h"
#include "mountd/service_failure.h"
#include "mountd/service_manager.h"
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
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
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

/// A service manager starts the program that its unit names, whatever was asked for here.
void expect_own_program(const std::string& program) {
  static constexpr std::string_view kDeleted = " (deleted)";  // its file was replaced
  std::string own = std::filesystem::read_symlink("/proc/self/exe").string();
  if (own.ends_with(kDeleted)) own.resize(own.size() - kDeleted.size());
  if (program != own)
    throw UserError(EINVAL, "this daemon is a service, which is started from " + own +
                                "; put the new program there, or change the unit");
}

/// The mounts must live on, so nothing is taken down: another daemon tries again.
[[noreturn]] void give_up(Keeper& keeper, const DaemonOptions& options,
                          const std::string& sentence) {
  log_error("daemon", "cannot take the mounts over: " + sentence);
  try {
    keeper.failed(sentence);
  } catch (const Error& error) {
    log_error("daemon", error.what());
  }
  ::_exit(options.standing_keeper.empty() ? 1 : kNextDaemonStatus);
}

/// The parts of a running daemon, taken down in order by its end.
class Daemon {
 public:
  Daemon(const DaemonOptions& options, std::unique_ptr<Repository> repository, Keeper* keeper,
         std::vector<KeeperLegacy::Mount> legacy, PassedSockets& passed)
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
      for (const std::string& socket : options.plugin_sockets)
        if (!passed.has(socket)) prepare_plugin_directory(socket);
      plugin_.emplace(*repository_, mounts_, rules_, options.plugin_sockets);
      for (HttpEndpoint& endpoint : plugin_->endpoints()) endpoints.push_back(std::move(endpoint));
    }
    for (HttpEndpoint& endpoint : endpoints) endpoint.listener = passed.take(endpoint.socket_path);
    server_ = std::make_unique<HttpServer>(std::move(endpoints), server_options());
  }

  /// False: the mounts are to be left for the next daemon.
  bool run_until_end(const sigset_t& signals) {
    while (!stop_ && upgrade().empty() && !is_idle()) {
      trash_purge_.tick();
      if (plugin_) plugin_->volumes().look_for_containers();
      const timespec tick{0, 200'000'000};
      const int signal = ::sigtimedwait(&signals, nullptr, &tick);
      if (signal == SIGTERM || signal == SIGINT) {
        log_info("daemon", "ends on a signal");
        return true;
      }
      if (signal == SIGUSR1) {
        log_info("daemon", "ends for a restart");
        return options_.standing_keeper.empty();
      }
    }
    return upgrade().empty();
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
    end_unkept();
    try {
      repository_->commit();  // the successor has little to replay
    } catch (const Error& error) {
      log_warn("daemon", std::string("commit before another daemon: ") + error.what());
    }
    if (!options_.standing_keeper.empty()) {
      log_info("daemon", "leaves its mounts to the next daemon");
      ::_exit(kNextDaemonStatus);
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
    const bool had_plugin = plugin_.has_value();
    plugin_.reset();  // waits for what its calls have begun
    unmount_rest();
    mounts_.wait_until_empty(kStopWait);
    mounts_.abort_all();
    if (had_plugin) PluginService::remove_directories(repository_->store());
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
      if (!options_.standing_keeper.empty()) expect_own_program(program);
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

  /// The others are served all the same, unless the program before this one can still serve all.
  void resume(KeeperLegacy::Mount mount) {
    const std::uint64_t number = mount.number;
    const std::string where = mount.about.target + " at " + mount.about.mount_point;
    std::shared_ptr<Volume> volume;
    try {
      mounts_.resume(std::move(mount), volume);
    } catch (const std::exception& error) {
      if (keeper_->on_trial()) give_up(*keeper_, options_, where + ": " + error.what());
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

  /// Those that no keeper holds end with this process; in order, what was written is kept.
  void end_unkept() {
    for (const LiveMount& mount : mounts_.list()) {
      if (mount.why_not_kept.empty()) continue;
      log_warn("daemon", mount.target() + " at " + mount.mount_point +
                             " ends with this daemon: " + mount.why_not_kept);
      try {
        mounts_.unmount(mount.mount_point, FuseMount::Busy::kDetach);
      } catch (const Error& error) {
        log_error("daemon", std::string("unmount at the end: ") + error.what());
      }
    }
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

/// What another daemon has left needs care: nothing may be committed before it is taken over.
bool is_successor(const KeeperLegacy* legacy) { return legacy != nullptr && !legacy->is_new(); }

/// Waits for a process that is dying, or a short command, to let the store go.
std::unique_ptr<Repository> open_after(const DaemonOptions& options, const KeeperLegacy& legacy) {
  RepositoryOptions repository = within_memory_limit(options.repository);
  const bool create = legacy.is_new() && options.create_store;
  if (!legacy.is_new()) {
    auto& resumed = repository.resumed.emplace();
    for (const KeeperLegacy::Mount& mount : legacy.mounts)
      if (mount.about.target.find('@') == std::string::npos)
        resumed.emplace(VolumeId{mount.about.volume_id}, mount.about.since_lsn);
  }
  const auto give_up = Clock::now() + kLockWait;
  for (;;) {
    try {
      return Repository::open(Disk::host(), options.store, create, repository);
    } catch (const UserError& error) {
      if (error.code() != EBUSY || Clock::now() >= give_up) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::unique_ptr<Daemon> start(const DaemonOptions& options, Keeper* keeper, KeeperLegacy* legacy,
                              PassedSockets& passed) {
  Disk& disk = Disk::host();
  if (legacy != nullptr) {
    if (options.log_to_file) redirect_output(options.store);
    auto daemon = std::make_unique<Daemon>(options, open_after(options, *legacy), keeper,
                                           std::move(legacy->mounts), passed);
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
                                  std::vector<KeeperLegacy::Mount>{}, passed);
}

KeeperHello hello_of(const DaemonOptions& options) {
  KeeperHello hello;
  hello.store = options.store;
  hello.arguments = options.successor;
  hello.always = !options.plugin_sockets.empty();
  return hello;
}

std::optional<KeeperLegacy> legacy_of(const DaemonOptions& options) {
  if (options.keeper_socket >= 0) return KeeperLegacy::receive(Descriptor(options.keeper_socket));
  if (options.standing_keeper.empty()) return std::nullopt;
  return KeeperLegacy::from_standing(options.standing_keeper, hello_of(options));
}

std::unique_ptr<Keeper> make_keeper(const DaemonOptions& options, KeeperLegacy* legacy) {
  if (legacy != nullptr)
    return std::make_unique<Keeper>(hello_of(options), *legacy, options.standing_keeper);
  if (!options.keeper || options.mount) return nullptr;
  return std::make_unique<Keeper>(hello_of(options));
}

/// The parts in their order, from the keeper to the end.
class DaemonRun {
 public:
  DaemonRun(const DaemonOptions& options, ServiceManager manager)
      : options_(options), manager_(std::move(manager)), passed_(manager_.take_passed()) {}

  void run(const sigset_t& signals) {
    begin();
    log_info("daemon", "pid " + std::to_string(::getpid()) + " serves store " + options_.store);
    report(options_.ready_socket, 0, "ready");
    manager_.tell("READY=1\nSTATUS=serves store " + options_.store);
    if (keeper_ && !legacy_) keeper_->began();
    if (!daemon_->run_until_end(signals)) {
      manager_.tell("STOPPING=1");
      daemon_->leave();
    }
    manager_.tell("STOPPING=1");
    // It was to end, however that goes.
    try {
      daemon_->close();
    } catch (...) {
      if (keeper_) keeper_->goodbye();
      throw;
    }
    if (keeper_) keeper_->goodbye();
  }

 private:
  void begin() {
    try {
      start_parts();
    } catch (const Error& error) {
      fail(error.code(), error.what());
      throw;
    } catch (const std::exception& failure) {
      fail(EIO, failure.what());
      throw;
    }
  }

  void start_parts() {
    check_passed();
    if (options_.ready_socket < 0 && options_.keeper_socket < 0)
      refuse_if_served(options_.store, " already; end it first (varve daemon stop)");
    // Known as a daemon before the store is opened, which may take a while.
    if (Store::exists(Disk::host(), options_.store)) lock_ = hold_daemon_lock(options_.store);
    legacy_ = legacy_of(options_);
    const bool is_taking_over = legacy_ && is_successor(&*legacy_);
    keeper_ = make_keeper(options_, legacy_ ? &*legacy_ : nullptr);
    is_taking_over_ = is_taking_over;
    daemon_ = start(options_, keeper_.get(), legacy_ ? &*legacy_ : nullptr, passed_);
    if (!lock_) lock_ = hold_daemon_lock(options_.store);
  }

  /// Who connects to a socket that nobody answers would wait for ever.
  void check_passed() const {
    std::vector<std::string> ours = options_.plugin_sockets;
    ours.push_back(control_socket_path(options_.store));
    for (const std::string& path : passed_.not_among(ours))
      throw UserError(EINVAL, "the service manager listens on " + path +
                                  ", which is neither the control socket of store " +
                                  options_.store +
                                  " nor a plugin socket of this daemon; change ListenStream= of "
                                  "the socket unit, or the store and --plugin-socket");
    if (!passed_.empty() && options_.keeper && options_.standing_keeper.empty())
      throw UserError(EINVAL,
                      "a daemon that gets its sockets from a service manager needs --keeper-socket "
                      "or --no-keeper: a successor that the keeper starts would not have them");
  }

  void fail(int code, const std::string& sentence) {
    lock_.reset();
    report(options_.ready_socket, code, sentence);
    manager_.tell("STATUS=" + sentence + "\nERRNO=" + std::to_string(code));
    answer_with_failure(passed_, code, sentence);
    if (is_taking_over_) give_up(*keeper_, options_, sentence);
  }

  const DaemonOptions& options_;
  ServiceManager manager_;
  PassedSockets passed_;
  Descriptor lock_;
  std::optional<KeeperLegacy> legacy_;
  bool is_taking_over_ = false;
  std::unique_ptr<Keeper> keeper_;
  std::unique_ptr<Daemon> daemon_;
};

/// A service manager's sockets and ear are for the process that it started itself.
ServiceManager manager_of(const DaemonOptions& options) {
  ServiceManager manager = ServiceManager::of_environment();
  if (options.ready_socket >= 0 || options.keeper_socket >= 0) return {};
  return manager;
}

}  // namespace

void run_daemon(const DaemonOptions& options) {
  const sigset_t signals = block_signals();
  ServiceManager manager = manager_of(options);
  drop_privileges();
  keep_memory_small();
  if (::chdir("/") != 0) throw_errno("change to the root directory");
  DaemonRun(options, std::move(manager)).run(signals);
}

}  // namespace varve
