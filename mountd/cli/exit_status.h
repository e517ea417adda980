// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

namespace varve::cli {

/// What `varve` says to scripts; docs/cli.md and varve.1 have the same table and a test compares.
enum ExitStatus : int {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,
  kNotFound = 3,
  kConflict = 4,
  kDamaged = 5,
  kPermission = 6,
  kNoSpace = 7,
  kUnreachable = 8,
  kUnsupported = 9,
  kRepaired = 10,
};

struct ExitMeaning {
  ExitStatus status;
  std::string_view meaning;
};

inline constexpr std::array<ExitMeaning, 11> kExitMeanings{{
    {kOk, "success"},
    {kFailure, "any other failure"},
    {kUsage, "the command line or a value in it is not valid; nothing was done"},
    {kNotFound, "a volume, snapshot, mount, directory or store does not exist"},
    {kConflict, "the name exists, or the object is in use, mounted, protected or has snapshots"},
    {kDamaged, "bytes are damaged or a device failed"},
    {kPermission, "no permission"},
    {kNoSpace, "no space, or the quota is reached"},
    {kUnreachable, "the daemon cannot be started, or went away"},
    {kUnsupported, "this program, kernel or store format cannot do it (newer store, no /dev/fuse)"},
    {kRepaired, "scrub or fsck found damage and repaired all of it"},
}};

/// For the "code" word of the control API, and for an errno.
ExitStatus status_of_word(std::string_view word);
ExitStatus status_of_errno(int code);

}  // namespace varve::cli
