// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <csignal>
#include <thread>

#include "mountd/daemon.h"
#include "mountd/store_location.h"
#include "mountd/unix_socket.h"
#include "store/base/error.h"

extern char** environ;

namespace varve {
namespace {

/// The descriptor by which the started daemon says that it is ready.
constexpr int kReadyDescriptor = 3;
/// How long another process may hold the store: a command without a daemon, or a daemon that ends.
constexpr std::chrono::seconds kLockWait{20};
/// Recovery after a crash replays the journal first.
constexpr int kReadyWaitMs = 300'000;

/// posix_spawn's attributes and file actions, destroyed at the end.
class SpawnSetup {
 public:
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  void put(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }
  void put_null(int to) {
    ::posix_spawn_file_actions_addopen(&actions_, to, "/dev/null", O_RDWR, 0);
  }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

/// Starts `daemon run` with the ready socket's other end and returns ours.
Descriptor spawn_daemon(const std::string& store, unsigned idle_exit_seconds) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("make a socket");
  Descriptor ours(ends[0]), theirs(ends[1]);
  // dup2 of a descriptor onto itself would keep it close-on-exec.
  if (theirs.get() == kReadyDescriptor) {
    theirs = Descriptor(::fcntl(kReadyDescriptor, F_DUPFD_CLOEXEC, kReadyDescriptor + 1));
    if (!theirs) throw_errno("duplicate a socket");
  }
  SpawnSetup setup;
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) setup.put_null(standard);
  setup.put(theirs.get(), kReadyDescriptor);
  std::array<std::string, 9> words{"varve",
                                   "--store",
                                   store,
                                   "daemon",
                                   "run",
                                   "--ready-fd",
                                   std::to_string(kReadyDescriptor),
                                   "--idle-exit",
                                   std::to_string(idle_exit_seconds)};
  std::array<char*, words.size() + 1> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  pid_t child = 0;
  const int error = ::posix_spawn(&child, "/proc/self/exe", setup.actions(), setup.attributes(),
                                  arguments.data(), environ);
  if (error != 0) throw StoreError(error, "start a daemon: " + errno_text(error));
  return ours;
}

/// What the daemon said: "0 ready", or an errno and a sentence. Empty when it died or hangs.
std::string wait_for_report(const Descriptor& socket) {
  std::string text;
  for (;;) {
    pollfd entry{socket.get(), POLLIN, 0};
    const int ready = ::poll(&entry, 1, kReadyWaitMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return text;
    std::array<char, 4096> buffer;
    const ssize_t count = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

void start_daemon(const std::string& store, unsigned idle_exit_seconds) {
  const auto give_up = std::chrono::steady_clock::now() + kLockWait;
  for (;;) {
    if (connect_unix(control_socket_path(store))) return;
    const std::string said = wait_for_report(spawn_daemon(store, idle_exit_seconds));
    const int code = std::atoi(said.c_str());
    const std::size_t blank = said.find(' ');
    if (said.empty() || blank == std::string::npos)
      throw StoreError(ECONNREFUSED, "the daemon of store " + store +
                                         " ended before it was ready; see " +
                                         daemon_log_path(store));
    if (code == 0) return;
    if (code != EBUSY || std::chrono::steady_clock::now() >= give_up)
      throw UserError(code, said.substr(blank + 1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace varve
