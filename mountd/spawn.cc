// SPDX-License-Identifier: Apache-2.0
#include "mountd/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <sstream>

#include "mountd/argv.h"
#include "store/base/error.h"

extern char** environ;

namespace varve {
namespace {

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

}  // namespace

std::string find_program(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream directories(path != nullptr ? path : "/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');)
    if (::access((directory + "/" + program).c_str(), X_OK) == 0) return directory + "/" + program;
  return {};
}

pid_t spawn(const Spawn& spawn) {
  SpawnSetup setup;
  Descriptor given;
  if (spawn.descriptor >= 0) {
    // A copy: dup2 of a descriptor onto itself would keep it close-on-exec.
    given = Descriptor(::fcntl(spawn.descriptor, F_DUPFD_CLOEXEC, kSpawnedDescriptor + 1));
    if (!given) throw_errno("duplicate a socket");
    setup.put(given.get(), kSpawnedDescriptor);
  }
  setup.put_null(STDIN_FILENO);
  if (spawn.quiet) {
    setup.put_null(STDOUT_FILENO);
    setup.put_null(STDERR_FILENO);
  }
  std::vector<std::string> words = spawn.words;
  const std::vector<char*> arguments = argv_of(words);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, spawn.program.c_str(), setup.actions(),
                                   setup.attributes(), arguments.data(), environ);
  if (error != 0) throw StoreError(error, "start " + spawn.program + ": " + errno_text(error));
  return child;
}

}  // namespace varve
