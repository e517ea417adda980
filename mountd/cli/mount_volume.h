// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mountd/cli/command.h"

namespace varve::cli {

/// How long a daemon that a mount started stays after the last unmount.
inline constexpr unsigned kIdleExitSeconds = 30;

/// What `varve mount` and the mount helper have in common.
struct MountCall {
  std::string target;
  std::string mount_point;
  std::string options;  ///< one -o text
  bool foreground = false;

  void add_options(const std::string& text) { options += (options.empty() ? "" : ",") + text; }
};

/// Checks options and mount point, starts a daemon when none runs, and mounts. The store is that of
/// `invocation`, else that of the option store=. Returns the exit status.
int mount_volume(const Invocation& invocation, const MountCall& call);

}  // namespace varve::cli
