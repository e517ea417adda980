// SPDX-License-Identifier: Apache-2.0
// What the keeper makes possible: another program in the daemon's place, under the mounts.
#include <unistd.h>

#include <cerrno>

#include "mountd/control_api_call.h"
#include "mountd/keeper/successor_check.h"
#include "store/base/error.h"

namespace varve {

Json ControlApi::describe_keeper() const {
  if (hooks_.keeper == nullptr) return nullptr;
  const Keeper::Figures figures = hooks_.keeper->figures();
  Json out = {{"running", figures.running},
              {"pid", nullptr},
              {"takeovers", figures.takeovers},
              {"last_pause_ms", nullptr},
              {"upgrade_failure", figures.upgrade_failure},
              {"problem", figures.problem}};
  if (figures.running) out["pid"] = figures.pid;
  if (figures.last_pause_ms) out["last_pause_ms"] = *figures.last_pause_ms;
  return out;
}

Json ControlApi::upgrade(const Call& call) {
  if (!hooks_.upgrade) throw UserError(ENOENT, "no daemon runs for this store");
  if (hooks_.keeper == nullptr)
    throw UserError(EOPNOTSUPP,
                    "this daemon has no keeper, so its mounts would end; unmount them, end it "
                    "(varve daemon stop) and start the new program");
  const std::string program = call.required_text("program");
  for (const LiveMount& mount : mounts().list()) {
    if (!mount.why_not_kept.empty())
      throw UserError(EBUSY, mount.target() + " at " + mount.mount_point +
                                 " would end with an upgrade: " + mount.why_not_kept +
                                 "; unmount it first");
    // Nobody could read it while it is to be started.
    if (program.starts_with(mount.mount_point + "/"))
      throw UserError(EINVAL, program + " lies on a mount of this daemon; copy it elsewhere");
  }
  check_successor(program);
  hooks_.upgrade(program);
  return {{"pid", ::getpid()}, {"version", VARVE_VERSION}};
}

}  // namespace varve
