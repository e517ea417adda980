// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "mountd/fuse_slow_calls.h"
#include "mountd/spawn.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

using Type = KeeperMessage::Type;

/// A keeper answers at once, unless the machine is very busy.
constexpr std::chrono::seconds kWelcomeWait{30};
/// How long a keeper that is a service may take to be started again.
constexpr std::chrono::seconds kStandingWait{10};
constexpr std::chrono::milliseconds kConnectWait{20};
/// Between the deaths of two keepers: nobody gets far by starting one after the other.
constexpr std::chrono::milliseconds kRestartWait{500};

Descriptor duplicate(int descriptor) {
  Descriptor out(::fcntl(descriptor, F_DUPFD_CLOEXEC, kSpawnedDescriptor + 1));
  if (!out) throw_errno("duplicate a descriptor");
  return out;
}

KeeperMessage expect(const KeeperChannel& channel, Type type) {
  std::optional<KeeperMessage> message = channel.receive(kWelcomeWait);
  if (!message) throw StoreError(EPIPE, "the keeper has ended before it was ready");
  if (message->type == Type::kFailed) throw UserError(EBUSY, message->text);
  if (message->type != type) throw StoreError(EPROTO, "the keeper said something unexpected");
  return std::move(*message);
}

KeeperLegacy receive_from(KeeperChannel channel) {
  KeeperLegacy out;
  out.channel = std::move(channel);
  out.welcome = KeeperWelcome::parse(expect(out.channel, Type::kWelcome).text);
  for (;;) {
    std::optional<KeeperMessage> message = out.channel.receive(kWelcomeWait);
    if (!message) throw StoreError(EPIPE, "the keeper has ended while it handed mounts over");
    if (message->type == Type::kBegin) return out;
    if (message->type != Type::kMount || !message->descriptor)
      throw StoreError(EPROTO, "the keeper said something unexpected");
    out.mounts.push_back(
        {message->number, KeptMount::parse(message->text), std::move(message->descriptor)});
  }
}

}  // namespace

KeeperLegacy KeeperLegacy::receive(Descriptor socket) {
  return receive_from(KeeperChannel(std::move(socket)));
}

KeeperLegacy KeeperLegacy::from_standing(const std::string& path, const KeeperHello& about) {
  const auto give_up = std::chrono::steady_clock::now() + kStandingWait;
  Descriptor socket;
  while (!(socket = connect_unix(path, SOCK_SEQPACKET))) {
    if (std::chrono::steady_clock::now() >= give_up)
      throw UserError(ECONNREFUSED, "no keeper answers at " + path + " (" + errno_text(errno) +
                                        "); start it first (systemctl start varve-keeper)");
    std::this_thread::sleep_for(kConnectWait);
  }
  KeeperChannel channel(std::move(socket));
  channel.send({Type::kHello, 0, about.text(), {}});
  return receive_from(std::move(channel));
}

Keeper::Keeper(KeeperHello about) : about_(std::move(about)) {}

Keeper::Keeper(KeeperHello about, KeeperLegacy& legacy, std::string standing)
    : about_(std::move(about)), standing_(std::move(standing)) {
  const MutexLock lock(mutex_);
  channel_ = std::move(legacy.channel);
  welcome_ = legacy.welcome;
  upgrade_failure_ = welcome_.failure;
  for (const KeeperLegacy::Mount& mount : legacy.mounts) {
    entries_.emplace(mount.number, Entry{mount.about.text(), duplicate(mount.device.get())});
    next_number_ = std::max(next_number_, mount.number + 1);
  }
}

Keeper::~Keeper() {
  {
    const MutexLock lock(mutex_);
    leaving_ = true;
    if (channel_) ::shutdown(channel_.descriptor(), SHUT_RDWR);
  }
  stop_watching();
}

void Keeper::stop_watching() {
  std::thread watcher;
  {
    const MutexLock lock(mutex_);
    watcher.swap(watcher_);
  }
  if (watcher.joinable()) watcher.join();
}

/// A new keeper and its number, or the one that stands.
std::pair<KeeperChannel, pid_t> Keeper::reach() const {
  if (!standing_.empty()) {
    Descriptor socket = connect_unix(standing_, SOCK_SEQPACKET);
    if (!socket) throw_errno("connect to the keeper at " + standing_);
    return {KeeperChannel(std::move(socket)), 0};
  }
  auto [ours, theirs] = KeeperChannel::pair();
  const pid_t child =
      spawn({"/proc/self/exe", {"varve-keeper", "keeper"}, theirs.descriptor(), false});
  return {std::move(ours), child};
}

void Keeper::start() {
  auto [ours, child] = reach();
  try {
    KeeperHello hello = about_;
    hello.takeovers = welcome_.takeovers;
    hello.serving = true;
    ours.send({Type::kHello, 0, hello.text(), {}});
    KeeperWelcome welcome = KeeperWelcome::parse(expect(ours, Type::kWelcome).text);
    for (const auto& [number, entry] : entries_) send_mount(ours, number, entry);
    welcome.takeovers = welcome_.takeovers;
    welcome_ = std::move(welcome);
  } catch (...) {
    ours.reset();
    if (child > 0) ::waitpid(child, nullptr, WNOHANG);
    throw;
  }
  channel_ = std::move(ours);
  problem_.clear();
  log_info("keeper",
           "pid " + std::to_string(welcome_.pid) + " keeps the mounts of store " + about_.store);
}

void Keeper::start_if_none() {
  if (!channel_) start();
  if (!watcher_.joinable()) watcher_ = start_quiet_thread("keeper-watch", [this] { watch(); });
}

void Keeper::send_mount(const KeeperChannel& channel, std::uint64_t number, const Entry& entry) {
  channel.send({Type::kMount, number, entry.text, duplicate(entry.device.get())});
}

std::uint64_t Keeper::keep(const KeptMount& mount, int device) {
  const MutexLock lock(mutex_);
  try {
    start_if_none();
    const std::uint64_t number = next_number_++;
    const auto entry = entries_.emplace(number, Entry{mount.text(), duplicate(device)}).first;
    try {
      send_mount(channel_, number, entry->second);
    } catch (...) {
      entries_.erase(entry);
      throw;
    }
    return number;
  } catch (const Error& error) {
    problem_ = error.what();
    throw;
  }
}

void Keeper::change(std::uint64_t number, const KeptMount& mount) {
  const MutexLock lock(mutex_);
  const auto entry = entries_.find(number);
  if (entry == entries_.end()) return;
  entry->second.text = mount.text();
  if (!channel_) return;
  try {
    send_mount(channel_, number, entry->second);
  } catch (const Error& error) {
    log_warn("keeper", error.what());  // it has died; the next one hears the new text
  }
}

void Keeper::forget(std::uint64_t number) {
  const MutexLock lock(mutex_);
  if (entries_.erase(number) == 0 || !channel_) return;
  try {
    channel_.send({Type::kForget, number, {}, {}});
  } catch (const Error& error) {
    log_warn("keeper", error.what());  // it has died; the next one does not get this mount
  }
}

void Keeper::began() {
  if (!about_.always) return;
  const MutexLock lock(mutex_);
  try {
    start_if_none();
  } catch (const Error& error) {
    problem_ = error.what();
    log_error("keeper", std::string("none could be started: ") + error.what());
  }
}

void Keeper::ready() {
  const MutexLock lock(mutex_);
  if (welcome_.since_ns != 0)
    last_pause_ms_ = static_cast<double>(keeper_clock_ns() - welcome_.since_ns) / 1e6;
  channel_.send({Type::kReady, 0, {}, {}});
  if (welcome_.upgrade && welcome_.failure.empty()) {
    // The keeper is the old program still.
    const KeeperChannel old = std::exchange(channel_, {});
    start();
    old.send({Type::kGoodbye, 0, {}, {}});
  }
  start_if_none();
}

void Keeper::failed(const std::string& sentence) {
  const MutexLock lock(mutex_);
  if (channel_) channel_.send({Type::kFailed, 0, sentence, {}});
}

bool Keeper::on_trial() const {
  const MutexLock lock(mutex_);
  return welcome_.upgrade && welcome_.failure.empty();
}

void Keeper::require() {
  const MutexLock lock(mutex_);
  start_if_none();
}

void Keeper::upgrade(const std::string& path) {
  const MutexLock lock(mutex_);
  start_if_none();
  channel_.send({Type::kUpgrade, 0, path, {}});
}

void Keeper::goodbye() {
  {
    const MutexLock lock(mutex_);
    leaving_ = true;
    try {
      if (channel_) channel_.send({Type::kGoodbye, 0, {}, {}});
    } catch (const Error& error) {
      log_warn("keeper", error.what());
    }
  }
  stop_watching();
}

Keeper::Figures Keeper::figures() const {
  const MutexLock lock(mutex_);
  return {static_cast<bool>(channel_),
          channel_ ? welcome_.pid : 0,
          welcome_.takeovers,
          last_pause_ms_,
          upgrade_failure_,
          problem_};
}

/// True if there is nothing more to try. One that is a service comes back at any time.
bool Keeper::start_again() {
  std::this_thread::sleep_for(kRestartWait);
  const MutexLock lock(mutex_);
  if (leaving_ || channel_) return true;
  try {
    start();
    return true;
  } catch (const Error& error) {
    if (problem_ != error.what())
      log_error("keeper", std::string("no other one could be started: ") + error.what());
    problem_ = error.what();
    return standing_.empty();
  }
}

/// Nothing comes but the end.
void Keeper::watch() {
  for (;;) {
    KeeperChannel channel;
    std::int64_t pid = 0;
    {
      const MutexLock lock(mutex_);
      if (leaving_ || !channel_) return;
      channel = KeeperChannel(duplicate(channel_.descriptor()));
      pid = welcome_.pid;
    }
    try {
      while (channel.receive()) {
      }
    } catch (const Error& error) {
      log_warn("keeper", error.what());
    }
    ::waitpid(static_cast<pid_t>(pid), nullptr, WNOHANG);  // a child of ours, if we started it
    {
      const MutexLock lock(mutex_);
      if (leaving_) return;
      channel_.reset();
      log_error("keeper",
                "pid " + std::to_string(pid) +
                    " has ended: until another one runs, mounts do not outlive the daemon");
    }
    while (!start_again()) {
    }
  }
}

}  // namespace varve
