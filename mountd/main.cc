// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "mountd/cli/commands.h"
#include "mountd/keeper/keeper_process.h"
#include "mountd/keeper/successor_check.h"
#include "mountd/spawn.h"

namespace {

/// Descriptors 0 to 2 are open, so that nothing else gets their numbers.
void open_standard_descriptors() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= 2);
  if (fd > 2) ::close(fd);
}

/// mount(8) runs /sbin/mount.fuse.varve, a link to this program. mount.fuse3, which it falls back
/// to, runs `varve VOLUME DIR -o OPTIONS`.
bool called_by_mount(std::string_view program, const std::vector<std::string>& words) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  if (name == "mount.fuse.varve" || name == "mount.varve") return true;
  if (words.size() < 4 || words[1].empty() || words[1][0] != '/' || words[2] != "-o") return false;
  for (const varve::cli::Command* command : varve::cli::all_commands())
    if (words[0] == command->name || words[0] == command->group) return false;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  ::umask(077);  // SQLite makes its files readable for all, with and without a daemon
  ::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  // How the daemon calls itself; no commands for people.
  if (!words.empty() && words[0] == "keeper") return varve::run_keeper(varve::kSpawnedDescriptor);
  if (!words.empty() && words[0] == "keeper-check") return varve::answer_successor_check();
  if (called_by_mount(argc > 0 ? argv[0] : "varve", words))
    return varve::cli::run_mount_helper(words);
  return varve::cli::run_command_line(varve::cli::all_commands(), words);
}
