// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/standing_keeper.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "mountd/fuse_device.h"
#include "mountd/keeper/keeper_channel.h"
#include "mountd/keeper/keeper_lock.h"
#include "mountd/keeper/keeper_texts.h"
#include "mountd/service_manager.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// A daemon says who it is at once.
constexpr std::chrono::seconds kHelloWait{10};
/// How long nobody may serve the mounts.
constexpr std::chrono::minutes kAbsenceMax{10};
/// One that dies sooner after it was ready counts as one that never was.
constexpr std::chrono::milliseconds kShortestLife{250};
constexpr int kMaxFailedDaemons = 8;
constexpr std::size_t kMaxStoredTextBytes = KeeperChannel::kMaxTextBytes;

/// A mount as the service manager has it: its device, and a file in memory with its text, under one
/// name, which is the mount's number.
std::string stored_name(std::uint64_t number) { return "mount-" + std::to_string(number); }

std::optional<std::uint64_t> stored_number(const std::string& name) {
  static constexpr std::string_view kPrefix = "mount-";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return std::nullopt;
  std::uint64_t out = 0;
  for (const char c : name.substr(kPrefix.size())) {
    if (c < '0' || c > '9') return std::nullopt;
    out = out * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return out;
}

Descriptor file_in_memory(const std::string& text) {
  Descriptor out(::memfd_create("varve-mount", MFD_CLOEXEC));
  if (!out) throw_errno("make a file in memory");
  if (::pwrite(out.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw_errno("write a file in memory");
  return out;
}

std::string text_in(const Descriptor& file) {
  std::string text(kMaxStoredTextBytes, '\0');
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), 0);
  if (count < 0) throw_errno("read a file in memory");
  text.resize(static_cast<std::size_t>(count));
  return text;
}

class StandingKeeper {
 public:
  StandingKeeper(std::string store, Descriptor listener, ServiceManager manager)
      : store_(std::move(store)), listener_(std::move(listener)), manager_(std::move(manager)) {
    take_stored();
    manager_.tell("READY=1");
  }

  [[noreturn]] void run() {
    for (;;) {
      KeeperChannel daemon = next_daemon();
      if (!daemon) {
        end_mounts("no daemon came for " + std::to_string(kAbsenceMax.count()) + " minutes");
        continue;
      }
      is_ready_ = false;
      says_goodbye_ = false;
      try {
        if (welcome(daemon)) converse(daemon);
      } catch (const Error& error) {
        log_error("keeper", error.what());
      }
      has_gone();
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Type = KeeperMessage::Type;
  struct Mount {
    std::string text;
    Descriptor device;
    Descriptor stored_text;
  };

  /// What an earlier keeper had when it died.
  void take_stored() {
    for (PassedDescriptor& passed : manager_.take_passed()) {
      const std::optional<std::uint64_t> number = stored_number(passed.name);
      struct stat status {};
      if (!number || ::fstat(passed.descriptor.get(), &status) != 0) continue;
      Mount& mount = mounts_[*number];
      if (S_ISCHR(status.st_mode)) {
        mount.device = std::move(passed.descriptor);
      } else {
        mount.text = text_in(passed.descriptor);
        mount.stored_text = std::move(passed.descriptor);
      }
    }
    // The manager drops the device of a mount that has ended.
    std::erase_if(mounts_, [&](const auto& entry) {
      const bool is_whole = entry.second.device && !entry.second.text.empty();
      if (!is_whole) manager_.tell("FDSTOREREMOVE=1\nFDNAME=" + stored_name(entry.first));
      return !is_whole;
    });
    if (mounts_.empty()) return;
    lock_ = hold_keeper_lock(store_);
    since_ns_ = keeper_clock_ns();
    log_warn("keeper", "begins with " + std::to_string(mounts_.size()) +
                           " mounts that the keeper before had");
  }

  /// Empty when the mounts have waited for too long.
  KeeperChannel next_daemon() {
    const auto give_up = Clock::now() + kAbsenceMax;
    for (;;) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(give_up - Clock::now());
      if (!mounts_.empty() && left.count() <= 0) return {};
      pollfd entry{listener_.get(), POLLIN, 0};
      if (::poll(&entry, 1, mounts_.empty() ? -1 : static_cast<int>(left.count())) <= 0) continue;
      Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (socket && is_own_peer(socket)) return KeeperChannel(std::move(socket));
    }
  }

  static bool is_own_peer(const Descriptor& socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == ::geteuid() || peer.uid == 0);
  }

  /// Tells a daemon what there is. False if it cannot be served.
  bool welcome(const KeeperChannel& daemon) {
    const std::optional<KeeperMessage> message = daemon.receive(kHelloWait);
    if (!message || message->type != Type::kHello) return false;
    const KeeperHello hello = KeeperHello::parse(message->text);
    const std::string refusal = why_refused(hello);
    if (!refusal.empty()) {
      daemon.send({Type::kFailed, 0, refusal, {}});
      return false;
    }
    if (hello.serving) {
      takeovers_ = hello.takeovers;
      forget_all();
      since_ns_ = 0;
      is_ready_ = true;
      ready_at_ = Clock::now();
      hold_lock();
    }
    KeeperWelcome reply;
    reply.pid = ::getpid();
    reply.since_ns = since_ns_;
    reply.takeovers = takeovers_ + (since_ns_ != 0 ? 1 : 0);
    daemon.send({Type::kWelcome, 0, reply.text(), {}});
    if (!hello.serving) hand_over(daemon);
    return true;
  }

  std::string why_refused(const KeeperHello& hello) const {
    if (hello.store != store_)
      return "this keeper is for the daemon of store " + store_ + ", not of " + hello.store +
             "; set VARVE_STORE alike for both services";
    if (!lock_ && has_keeper(store_))
      return "another keeper holds mounts of store " + store_ +
             "; end its daemon first (varve daemon stop)";
    return {};
  }

  void hand_over(const KeeperChannel& daemon) const {
    for (const auto& [number, mount] : mounts_) {
      Descriptor device(::dup(mount.device.get()));
      if (!device) throw_errno("duplicate a device");
      daemon.send({Type::kMount, number, mount.text, std::move(device)});
    }
    daemon.send({Type::kBegin, 0, {}, {}});
  }

  void converse(const KeeperChannel& daemon) {
    while (std::optional<KeeperMessage> message = daemon.receive()) {
      switch (message->type) {
        case Type::kMount:
          keep(std::move(*message));
          break;
        case Type::kForget:
          forget(message->number);
          break;
        case Type::kReady:
          became_ready();
          break;
        case Type::kFailed:
          log_error("keeper", "the daemon did not come up: " + message->text);
          break;
        case Type::kGoodbye:
          says_goodbye_ = true;
          return;  // it waits for the end of the connection
        default:
          break;
      }
    }
  }

  void keep(KeeperMessage message) {
    if (!message.descriptor) return;
    hold_lock();
    if (mounts_.contains(message.number)) forget(message.number);
    Mount mount{std::move(message.text), std::move(message.descriptor), {}};
    if (manager_.listens()) {
      mount.stored_text = file_in_memory(mount.text);
      manager_.tell("FDSTORE=1\nFDNAME=" + stored_name(message.number),
                    {mount.device.get(), mount.stored_text.get()});
    }
    mounts_.insert_or_assign(message.number, std::move(mount));
  }

  void forget(std::uint64_t number) {
    if (mounts_.erase(number) != 0) manager_.tell("FDSTOREREMOVE=1\nFDNAME=" + stored_name(number));
  }

  void forget_all() {
    while (!mounts_.empty()) forget(mounts_.begin()->first);
  }

  void became_ready() {
    hold_lock();
    is_ready_ = true;
    ready_at_ = Clock::now();
    if (since_ns_ == 0) return;
    ++takeovers_;
    log_info("keeper", "takeover " + std::to_string(takeovers_) + ": served after " +
                           std::to_string((keeper_clock_ns() - since_ns_) / 1'000'000) + " ms");
    since_ns_ = 0;
  }

  /// The daemon of before: in order, or to be followed by another one.
  void has_gone() {
    if (says_goodbye_) {
      forget_all();
      since_ns_ = 0;
      failures_ = 0;
    } else {
      if (since_ns_ == 0 && is_ready_) since_ns_ = keeper_clock_ns();
      const bool lived = is_ready_ && Clock::now() - ready_at_ >= kShortestLife;
      failures_ = lived ? 0 : failures_ + 1;
      if (!mounts_.empty() && failures_ >= kMaxFailedDaemons)
        end_mounts(std::to_string(failures_) + " daemons could not take them over");
    }
    if (mounts_.empty()) lock_.reset();
  }

  /// Nobody will serve them: their programs must not wait for ever.
  void end_mounts(const std::string& why) {
    log_error("keeper", "the mounts of store " + store_ + " end, programs get errors: " + why +
                            "; see the daemon's log, then 'varve mount' mounts again");
    for (auto& [number, mount] : mounts_) {
      mount.device.reset();
      manager_.tell("FDSTOREREMOVE=1\nFDNAME=" + stored_name(number));
      try {
        const KeptMount about = KeptMount::parse(mount.text);
        if (!about.detached) unmount_fuse(about.mount_point, about.device, Detach::kAborting);
      } catch (const std::exception& error) {
        log_warn("keeper", std::string("a mount point was left: ") + error.what());
      }
    }
    mounts_.clear();
    since_ns_ = 0;
    failures_ = 0;
    lock_.reset();
  }

  void hold_lock() {
    if (!lock_) lock_ = hold_keeper_lock(store_);
  }

  const std::string store_;
  const Descriptor listener_;
  ServiceManager manager_;
  std::map<std::uint64_t, Mount> mounts_;
  Descriptor lock_;  ///< while there are mounts, or a daemon serves
  std::uint64_t takeovers_ = 0;
  std::int64_t since_ns_ = 0;  ///< nobody has served since; 0: somebody does, or nothing is left
  int failures_ = 0;           ///< daemons in a row
  bool is_ready_ = false;      ///< the daemon that is connected
  bool says_goodbye_ = false;
  Clock::time_point ready_at_{};
};

}  // namespace

void run_standing_keeper(const std::string& store, const std::string& socket_path) {
  ::prctl(PR_SET_NAME, "varve-keeper");
  ::signal(SIGHUP, SIG_IGN);
  ServiceManager manager = ServiceManager::of_environment();
  Descriptor listener = listen_unix(socket_path, 0600, SOCK_SEQPACKET);
  if (::chdir("/") != 0) log_warn("keeper", "cannot change to the root directory");
  log_info("keeper", "pid " + std::to_string(::getpid()) + " keeps the mounts of store " + store);
  StandingKeeper(store, std::move(listener), std::move(manager)).run();
}

}  // namespace varve
