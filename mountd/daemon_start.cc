// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "mountd/daemon.h"
#include "mountd/spawn.h"
#include "mountd/store_location.h"
#include "mountd/unix_socket.h"
#include "store/base/error.h"

namespace varve {
namespace {

/// How long another process may hold the store: a command without a daemon, or a daemon that ends.
constexpr std::chrono::seconds kStartWait{20};
/// Recovery after a crash replays the journal first.
constexpr int kReadyWaitMs = 300'000;

/// Starts `daemon run` with the ready socket's other end and returns ours.
Descriptor spawn_daemon(const std::string& store, unsigned idle_exit_seconds,
                        const std::vector<std::string>& more_words) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("make a socket");
  Descriptor ours(ends[0]);
  const Descriptor theirs(ends[1]);
  const std::string fd = std::to_string(kSpawnedDescriptor);
  std::vector<std::string> words{"varve",  "--store",     store,
                                 "daemon", "run",         "--ready-fd",
                                 fd,       "--idle-exit", std::to_string(idle_exit_seconds)};
  words.insert(words.end(), more_words.begin(), more_words.end());
  spawn({"/proc/self/exe", words, theirs.get(), true});
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

void start_daemon(const std::string& store, unsigned idle_exit_seconds,
                  const std::vector<std::string>& more_words) {
  const auto give_up = std::chrono::steady_clock::now() + kStartWait;
  for (;;) {
    if (connect_unix(control_socket_path(store))) return;
    const std::string said = wait_for_report(spawn_daemon(store, idle_exit_seconds, more_words));
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
