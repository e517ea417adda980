// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/successor_check.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "mountd/keeper/keeper_channel.h"
#include "mountd/spawn.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::chrono::seconds kAnswerWait{10};

/// What the program says; none if it ends without a word.
std::optional<KeeperMessage> ask(const std::string& path) {
  auto [ours, theirs] = KeeperChannel::pair();
  const pid_t child = spawn({path, {"varve", "keeper-check"}, theirs.descriptor(), true});
  theirs.reset();
  std::optional<KeeperMessage> answer;
  std::optional<StoreError> failure;
  try {
    answer = ours.receive(kAnswerWait);
  } catch (const StoreError& error) {
    failure = error;
  }
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (failure) throw StoreError(*failure);
  return answer;
}

}  // namespace

void check_successor(const std::string& path) {
  struct stat status {};
  if (path.empty() || path.front() != '/')
    throw UserError(EINVAL, "the program must be given by its absolute path");
  if (::stat(path.c_str(), &status) != 0)
    throw UserError(errno, "there is no program " + path + ": " + errno_text(errno));
  if (!S_ISREG(status.st_mode) || ::access(path.c_str(), X_OK) != 0)
    throw UserError(EACCES, path + " cannot be executed; give the new varve program");
  try {
    if (ask(path)) return;
  } catch (const StoreError& error) {
    throw UserError(EINVAL, path + " cannot take the mounts over: " + error.what());
  }
  throw UserError(EINVAL, path + " is no varve program that can take mounts over");
}

int answer_successor_check() {
  KeeperChannel(Descriptor(kSpawnedDescriptor)).send({KeeperMessage::Type::kReady, 0, {}, {}});
  return 0;
}

}  // namespace varve
