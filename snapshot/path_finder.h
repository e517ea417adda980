// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "snapshot/record.h"
#include "snapshot/tree.h"

namespace varve {

/// One name of a file: where its dirent is.
struct NamePlace {
  Ino parent{};
  std::uint64_t cookie = 0;
  friend auto operator<=>(const NamePlace&, const NamePlace&) = default;
};

/// Finds paths in one tree and remembers those of directories. Waits for disks. One thread.
class PathFinder {
 public:
  explicit PathFinder(const Tree& tree) : tree_(tree) {}

  const Tree& tree() const { return tree_; }
  std::optional<InodeRecord> inode(Ino ino) const;
  /// The names of a file, ascending; none for the root and for what was unlinked.
  std::vector<NamePlace> names(Ino ino, const InodeRecord& inode) const;
  /// "/a/b" of the entry `name` of directory `parent`; empty if the directory has no path.
  std::string path(Ino parent, const std::string& name);
  /// The same for a name whose dirent is in the tree; empty if it is not.
  std::string path(const NamePlace& place);
  /// Of the first name that has a path; "/" for the root, empty without one.
  std::string path(Ino ino);

 private:
  std::optional<std::string> directory_path(Ino ino);
  std::optional<std::string> entry_name(const NamePlace& place) const;

  const Tree tree_;
  std::map<Ino, std::optional<std::string>> directories_;  // "" for the root
};

}  // namespace varve
