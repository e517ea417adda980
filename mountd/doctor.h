// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace varve {

/// One thing that `varve doctor` looked at.
struct Finding {
  enum class Level {
    kGood,
    kNote,     ///< works, but not as well as it could
    kProblem,  ///< something will fail
  };
  Level level = Level::kGood;
  std::string what;    ///< what is so, a sentence without its full stop
  std::string remedy;  ///< what to do about it; empty when kGood
};

/// Where things of the host are; tests have their own.
struct DoctorPlaces {
  std::string root;             ///< put before /proc, /sys, /etc, /run and /dev; empty: the host
  std::string kernel_release;   ///< as uname(2) says
  bool is_root = false;         ///< the user is
  std::string store;            ///< absolute
  std::string home;             ///< for a user's own settings; may be empty
  std::string fusermount;       ///< path of fusermount3; empty: not found
  int answer_wait_ms = 10'000;  ///< how long a daemon may take for an answer
};

/// The host as it is for this process and `store`.
DoctorPlaces this_host(const std::string& store);

/// Looks at the kernel, /dev/fuse, io_uring, fusermount3, the store and its daemon, the plugin and
/// the engines. Changes nothing; a service manager that listens for the daemon starts it.
std::vector<Finding> examine_host(const DoctorPlaces& places);

}  // namespace varve
