// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "mountd/unix_socket.h"

namespace varve {

/// The descriptor that a program started by spawn() has from its starter.
inline constexpr int kSpawnedDescriptor = 3;

/// A program to start in a session of its own, with no signal blocked or ignored.
struct Spawn {
  std::string program;             ///< a path, or a name for PATH; "/proc/self/exe" for this one
  std::vector<std::string> words;  ///< its name first
  int descriptor = -1;             ///< becomes its kSpawnedDescriptor; -1: none
  bool quiet = false;  ///< standard input, output and error are /dev/null; else ours, input apart
};

/// Where `program` is in $PATH, or in the usual places without one; empty if nowhere.
std::string find_program(const std::string& program);

/// Starts it with our environment and returns its number; the caller reaps it. StoreError.
pid_t spawn(const Spawn& spawn);

}  // namespace varve
