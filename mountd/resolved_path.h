// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mountd/unix_socket.h"

namespace varve {

/// A mount point whose path was resolved before (absolute_mount_point), held open while the kernel
/// is told to mount on it or to unmount it: whoever exchanges a directory above it for a symbolic
/// link in between is not followed.
class ResolvedPath {
 public:
  /// Opens the directory itself: what is mounted there or planted there later does not matter.
  /// Throws StoreError: ELOOP if a symbolic link has appeared, otherwise as open(2).
  static ResolvedPath directory(const std::string& path);
  /// Opens the directory above, so that a mount at `path` is not kept busy. Throws likewise.
  static ResolvedPath entry(const std::string& path);

  /// A path for system calls of the thread that made this object, valid while it lives.
  const std::string& path() const { return path_; }

 private:
  ResolvedPath(Descriptor held, std::string path)
      : held_(std::move(held)), path_(std::move(path)) {}
  Descriptor held_;
  std::string path_;
};

}  // namespace varve
