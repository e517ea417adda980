// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mountd/fuse_mount.h"

namespace varve {

/// What the comma-separated words after -o say.
struct MountOptions {
  FuseMount::Options fuse;           ///< mountpoint and volume are left empty
  std::optional<bool> allow_other;   ///< not given: root's mounts do, others do not
  std::optional<std::string> store;  ///< store=PATH
  bool create = false;               ///< make the volume if it does not exist
};

/// Adds the words of `text` ("ro,noatime,transport=uring") to `options`. Words of mount(8) and
/// fstab that say nothing to a mount itself (defaults, noauto, user, nofail, _netdev, x-...,
/// comment=...) are accepted; an unknown word throws UserError(EINVAL) that names it.
void parse_mount_options(std::string_view text, MountOptions& options);

/// "plain" or "uring"; else UserError(EINVAL).
FuseMount::Transport parse_transport(std::string_view text);
const char* transport_text(FuseMount::Transport transport);

/// The options in force as one -o text, such as "ro,allow_other,transport=plain".
std::string mount_options_text(const FuseMount::Options& options, bool read_only);

}  // namespace varve
