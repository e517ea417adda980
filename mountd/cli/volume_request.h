// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mountd/json.h"
#include "mountd/cli/command.h"

namespace varve::cli {

// What `volume create` and `clone` share.
inline constexpr Option kSizeOption{'s', "size", "SIZE",
                                    "Limit of the volume's size, in GB or with a unit; 0: none"};
inline constexpr Option kLabelOption{0, "label", "NAME=VALUE", "Add a label (may be repeated)"};
inline constexpr Option kProtectOption{0, "protect", nullptr, "Refuse 'volume rm'"};
inline constexpr Option kModeOption{0, "mode", "MODE",
                                    "Permissions of a new root directory, octal (default: 755)"};
inline constexpr Option kUidOption{0, "uid", "UID", "Owner of a new root directory"};
inline constexpr Option kGidOption{0, "gid", "GID", "Group of a new root directory"};

inline constexpr Option kVolumeOption{'o', "option", "NAME=VALUE",
                                      "As a container engine's -o (may be repeated)"};

/// The fields of POST /v1/volumes that these options give. Throws on what does not parse.
Json volume_request(const Invocation& invocation);

}  // namespace varve::cli
