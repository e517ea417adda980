// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "mountd/fuse_device.h"
#include "mountd/keeper/keeper_channel.h"
#include "mountd/keeper/keeper_lock.h"
#include "mountd/keeper/keeper_texts.h"
#include "mountd/spawn.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

using Clock = std::chrono::steady_clock;
using Type = KeeperMessage::Type;

constexpr const char* kOwnProgram = "/proc/self/exe";
/// Recovery after a crash may have to make the index anew.
constexpr std::chrono::milliseconds kReadyWait{300'000};
/// A successor that dies sooner after it was ready counts as one that never was: a request that
/// kills it comes again each time.
constexpr std::chrono::milliseconds kShortLife{250};
constexpr int kMaxFailures = 8;
constexpr std::chrono::milliseconds kFirstWait{20};
constexpr std::chrono::milliseconds kLongestWait{2000};

/// ```
///             message                      died, mounts left
///   serving ----------> serving   serving ------------------> starting
///      ^                                                      |  |  too often
///      +------------------- the successor is ready -----------+  +----------> mounts are ended
/// ```
/// A daemon that says goodbye, or has no mounts when it dies and serves nothing else, ends the
/// keeper.
class KeeperProcess {
 public:
  explicit KeeperProcess(KeeperChannel channel) : channel_(std::move(channel)) {}

  int run() {
    begin();
    for (;;) {
      const std::optional<KeeperMessage> message = next();
      if (message && message->type == Type::kGoodbye) return 0;
      if (message) continue;
      if (mounts_.empty() && !hello_.always && program_ == kOwnProgram) return 0;
      if (!take_over()) return give_up();
    }
  }

 private:
  struct Mount {
    std::string text;
    Descriptor device;
  };

  void begin() {
    const std::optional<KeeperMessage> message = channel_.receive(kReadyWait);
    if (!message || message->type != Type::kHello)
      throw StoreError(EPROTO, "the daemon said something unexpected");
    hello_ = KeeperHello::parse(message->text);
    takeovers_ = hello_.takeovers;
    lock_ = hold_keeper_lock(hello_.store);
    KeeperWelcome welcome;
    welcome.pid = ::getpid();
    welcome.takeovers = takeovers_;
    channel_.send({Type::kWelcome, 0, welcome.text(), {}});
  }

  /// The next message, after what it says was done; none when the daemon is gone.
  std::optional<KeeperMessage> next(
      std::optional<std::chrono::milliseconds> timeout = std::nullopt) {
    std::optional<KeeperMessage> message;
    try {
      message = channel_.receive(timeout);
    } catch (const Error& error) {
      log_error("keeper", error.what());
      return std::nullopt;
    }
    if (!message) return std::nullopt;
    if (message->type == Type::kMount)
      mounts_.insert_or_assign(message->number,
                               Mount{message->text, std::move(message->descriptor)});
    if (message->type == Type::kForget) mounts_.erase(message->number);
    if (message->type == Type::kUpgrade) program_ = message->text;
    if (message->type == Type::kFailed) failure_ = message->text;
    return message;
  }

  /// False if no successor could be brought up.
  bool take_over() {
    if (Clock::now() - ready_at_ > kShortLife) failures_ = 0;
    since_ns_ = keeper_clock_ns();
    upgrade_ = program_ != kOwnProgram;
    upgrade_failure_.clear();
    log_warn("keeper", std::string(upgrade_ ? "the daemon has left" : "the daemon has died") +
                           "; starting another one for " + std::to_string(mounts_.size()) +
                           " mounts");
    if (failures_ > 0) ++failures_;
    for (; failures_ < kMaxFailures; ++failures_) {
      if (failures_ > 0) std::this_thread::sleep_for(wait_before_next());
      if (bring_up()) {
        failures_ = std::max(failures_, 1);  // until it has lived for a while
        return true;
      }
      if (program_ != kOwnProgram) fall_back();
    }
    return false;
  }

  std::chrono::milliseconds wait_before_next() const {
    return std::min(kFirstWait * (1 << std::min(failures_ - 1, 10)), kLongestWait);
  }

  void fall_back() {
    upgrade_failure_ = failure_.empty() ? program_ + " has ended before it was ready" : failure_;
    log_error("keeper", "the upgrade to " + program_ +
                            " failed, the old program goes on: " + upgrade_failure_);
    program_ = kOwnProgram;
  }

  /// Starts a successor and waits until it serves.
  bool bring_up() {
    failure_.clear();
    try {
      start();
      const auto give_up = Clock::now() + kReadyWait;
      for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(give_up - Clock::now());
        const std::optional<KeeperMessage> message =
            next(std::max(left, std::chrono::milliseconds(1)));
        if (!message) break;
        if (message->type == Type::kReady) return became_ready();
      }
      if (Clock::now() >= give_up) ::kill(child_, SIGKILL);
    } catch (const Error& error) {
      failure_ = error.what();
    }
    log_error("keeper", "the successor did not come up: " +
                            (failure_.empty() ? std::string("it has died") : failure_));
    return false;
  }

  void start() {
    reap();
    auto [ours, theirs] = KeeperChannel::pair();
    std::vector<std::string> words = {"varve"};
    words.insert(words.end(), hello_.arguments.begin(), hello_.arguments.end());
    words.insert(words.end(), {"--keeper-fd", std::to_string(kSpawnedDescriptor)});
    child_ = spawn({program_, words, theirs.descriptor(), false});
    theirs.reset();
    channel_ = std::move(ours);
    KeeperWelcome welcome;
    welcome.pid = ::getpid();
    welcome.takeovers = takeovers_ + 1;
    welcome.since_ns = since_ns_;
    welcome.upgrade = upgrade_;
    welcome.failure = upgrade_failure_;
    channel_.send({Type::kWelcome, 0, welcome.text(), {}});
    for (const auto& [number, mount] : mounts_) {
      Descriptor device(::dup(mount.device.get()));
      if (!device) throw_errno("duplicate a device");
      channel_.send({Type::kMount, number, mount.text, std::move(device)});
    }
    channel_.send({Type::kBegin, 0, {}, {}});
  }

  bool became_ready() {
    ++takeovers_;
    ready_at_ = Clock::now();
    program_ = kOwnProgram;  // the new program brings its own keeper
    log_info("keeper", "takeover " + std::to_string(takeovers_) + ": pid " +
                           std::to_string(child_) + " serves after " +
                           std::to_string((keeper_clock_ns() - since_ns_) / 1'000'000) + " ms");
    return true;
  }

  /// Nobody will serve the mounts: their programs must not wait for ever.
  int give_up() {
    log_error("keeper", "no daemon could be brought up for store " + hello_.store +
                            "; its mounts end, programs get errors; see the lines above, then "
                            "'varve mount' mounts again");
    for (auto& [number, mount] : mounts_) end_mount(mount);
    mounts_.clear();
    reap();
    return 1;
  }

  static void end_mount(Mount& mount) {
    mount.device.reset();
    try {
      const KeptMount about = KeptMount::parse(mount.text);
      if (!about.detached) unmount_fuse(about.mount_point, about.device, Detach::kAborting);
    } catch (const std::exception& error) {
      log_warn("keeper", std::string("a mount point was left: ") + error.what());
    }
  }

  static void reap() {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }

  KeeperChannel channel_;
  KeeperHello hello_;
  Descriptor lock_;
  std::map<std::uint64_t, Mount> mounts_;
  std::string program_ = kOwnProgram;
  std::string failure_;          ///< what the last successor said before it ended
  std::string upgrade_failure_;  ///< why the old program went on
  bool upgrade_ = false;
  std::int64_t since_ns_ = 0;
  std::uint64_t takeovers_ = 0;
  int failures_ = 0;
  pid_t child_ = 0;
  Clock::time_point ready_at_{};
};

}  // namespace

int run_keeper(int socket) {
  ::prctl(PR_SET_NAME, "varve-keeper");
  // It ends with its daemon: what ends a session or a service must not come between the two.
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGQUIT}) ::signal(number, SIG_IGN);
  if (::chdir("/") != 0) log_warn("keeper", "cannot change to the root directory");
  ::close_range(static_cast<unsigned>(socket) + 1, ~0u, 0);
  try {
    return KeeperProcess(KeeperChannel(Descriptor(socket))).run();
  } catch (const std::exception& error) {
    log_error("keeper", std::string("ends: ") + error.what());
    return 1;
  }
}

}  // namespace varve
