// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/service.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include "fs/repository.h"
#include "mountd/control_api.h"
#include "mountd/daemon.h"
#include "mountd/keeper/keeper_lock.h"
#include "mountd/life_lock.h"
#include "mountd/plugin/plugin_service.h"
#include "mountd/store_location.h"
#include "store/base/disk.h"
#include "store/base/error.h"

namespace varve::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// How long another command may hold the store before this one gives up.
constexpr std::chrono::seconds kLockWait{20};
/// What a command without a daemon gives to background deletion before it ends.
constexpr std::chrono::milliseconds kTidyTime{200};

RepositoryOptions local_options() {
  RepositoryOptions options;
  options.background = false;
  options.commit_interval_ms = 0;
  return options;
}

/// The sentence of an error reply as an exception.
[[noreturn]] void throw_reply(const HttpReply& reply, const Json& body) {
  const int fallback = reply.status == 403 ? EACCES : EIO;
  if (!body.is_object()) throw StoreError(EPROTO, "the daemon's error reply is not understood");
  throw UserError(body.value("errno", fallback), body.value("error", std::string("unknown error")));
}

}  // namespace

/// The store opened in this process.
class Service::Local {
 public:
  Local(const std::string& store, bool create)
      : repository_(open(store, create)),
        rules_(Disk::host(), rules_path(store)),
        api_(*repository_, nullptr, hooks()) {}

  ~Local() {
    try {
      const auto until = Clock::now() + kTidyTime;
      while (repository_->pending_deletions() > 0 && Clock::now() < until && repository_->step()) {
      }
      repository_->close();
    } catch (const std::exception& failure) {
      std::fprintf(stderr, "varve: closing the store: %s\n", failure.what());
    }
  }
  Local(const Local&) = delete;
  Local& operator=(const Local&) = delete;

  HttpReply call(const HttpRequest& request) { return api_.handle(request); }

 private:
  static std::unique_ptr<Repository> open(const std::string& store, bool create) {
    refuse_if_kept(store);
    return Repository::open(Disk::host(), store, create, local_options());
  }

  ControlApi::Hooks hooks() {
    ControlApi::Hooks hooks;
    hooks.rules = &rules_;
    return hooks;
  }

  std::unique_ptr<Repository> repository_;
  VolumeRules rules_;
  ControlApi api_;
};

Service::Service(const Invocation& invocation, Absent absent)
    : store_(store_location(invocation.store)),
      is_default_(store_is_default(invocation.store)),
      absent_(absent) {}

Service::~Service() = default;

bool Service::connect() {
  const auto give_up = Clock::now() + kLockWait;
  while (!daemon_) {
    daemon_ = HttpClient::connect(control_socket_path(store_));
    // After a takeover the mounts are served again a moment before the socket is.
    if (daemon_ || !has_keeper(store_) || Clock::now() >= give_up) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return daemon_.has_value();
}

bool Service::connect_to_running() {
  // Who may not look into the store is told so by the connection.
  const bool may_look = ::access(store_.c_str(), X_OK) == 0;
  if (may_look && !has_daemon(store_) && !has_keeper(store_)) return false;
  return connect();
}

void Service::require_daemon(unsigned idle_exit_seconds,
                             const std::vector<std::string>& more_words) {
  idle_exit_seconds_ = idle_exit_seconds;
  if (connect()) return;
  local_.reset();
  if (!Store::exists(Disk::host(), store_)) make_store_parent(store_, is_default_);
  start_daemon(store_, idle_exit_seconds, more_words);
  if (!connect())
    throw StoreError(ECONNREFUSED, "the daemon of store " + store_ + " went away; see " +
                                       daemon_log_path(store_));
}

/// A daemon may start or end at any moment, and another command may hold the lock: whichever way
/// opens first is taken.
void Service::open_somehow() {
  const auto give_up = Clock::now() + kLockWait;
  for (;;) {
    if (connect()) return;
    const bool exists = Store::exists(Disk::host(), store_);
    if (!exists && absent_ == Absent::kFail)
      throw UserError(ENOENT, "there is no store at " + store_ +
                                  "; 'varve init' makes one, --store or VARVE_STORE names another");
    if (!exists) make_store_parent(store_, is_default_);
    try {
      local_ = std::make_unique<Local>(store_, !exists);
      return;
    } catch (const UserError& error) {
      // EEXIST: another command made the store a moment before this one.
      const bool other = error.code() == EBUSY || (!exists && error.code() == EEXIST);
      if (!other || Clock::now() >= give_up) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

std::optional<Json> Service::ask_daemon(const std::string& target) {
  try {
    if (!connect()) return std::nullopt;
    const HttpReply reply = daemon_->call("GET", target, {});
    Json parsed = Json::parse(reply.body, nullptr, false);
    if (reply.status != 200) throw_reply(reply, parsed);
    if (parsed.is_discarded()) throw StoreError(EPROTO, "the daemon's reply is not JSON");
    return std::make_optional<Json>(std::move(parsed));
  } catch (const StoreError&) {
    daemon_.reset();
    return std::nullopt;
  }
}

Json Service::call(std::string_view method, const std::string& target, const Json& body) {
  const std::string text =
      body.is_null() ? std::string{} : body.dump(-1, ' ', false, Json::error_handler_t::replace);
  const auto give_up = Clock::now() + kLockWait;
  for (;;) {
    if (!daemon_ && !local_) {
      if (idle_exit_seconds_)
        require_daemon(*idle_exit_seconds_);
      else
        open_somehow();
    }
    HttpReply reply;
    try {
      if (daemon_) {
        reply = daemon_->call(method, target, text);
      } else {
        HttpRequest request;
        request.method = method;
        request.body = text;
        parse_target(target, request);
        reply = local_->call(request);
      }
    } catch (const StoreError& error) {
      if (!daemon_ || error.code() != ECONNRESET || Clock::now() >= give_up) throw;
      // It ended without having read the request. The socket of a process that was killed takes
      // connections until its last thread is gone.
      daemon_.reset();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    const Json parsed = Json::parse(reply.body, nullptr, false);
    if (reply.status != 200) throw_reply(reply, parsed);
    if (parsed.is_discarded()) throw StoreError(EPROTO, "the daemon's reply is not JSON");
    return parsed;
  }
}

}  // namespace varve::cli
