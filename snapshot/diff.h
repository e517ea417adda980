// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "snapshot/key.h"
#include "snapshot/tree.h"

namespace varve {

/// Calls `visit` for every key whose records differ, ascending, with the record in each tree or
/// none. Subtrees with equal digests are not read: O(changes). Waits for disks.
void diff_records(const Tree& before, const Tree& after,
                  const std::function<void(const Key&, const std::optional<Bytes>& before,
                                           const std::optional<Bytes>& after)>& visit);

/// One path that differs. Renames are recognised by inode number.
struct PathChange {
  enum class What { kAdded, kRemoved, kModified, kRenamed };
  What what{};
  std::string path;      ///< from the root, "/a/b"; the new path of a rename
  std::string old_path;  ///< of a rename, else empty
  Ino ino{};
  std::uint32_t type = 0;  ///< S_IFMT bits
  bool content = false;    ///< data, target or device differ
  bool metadata = false;   ///< mode, owner, xattrs differ (times alone do not count)
};

/// What a user sees between two trees of one family, sorted by path, each path once per change.
/// A rename that also changed content is kRenamed with `content` set. A directory whose only
/// change is its own times or entries is left out. Work is O(changes × depth).
std::vector<PathChange> diff_paths(const Tree& before, const Tree& after);

/// The path of `ino` in `tree` by parents and linkrefs ("/" for the root); empty if it has none.
/// A file with several names gives the one with the smallest (parent, cookie).
std::string path_of(const Tree& tree, Ino ino);

}  // namespace varve
