// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mountd/fuse_handshake.h"

namespace varve {

// What keeper and daemon tell each other, as the texts of messages. Every parse() throws
// StoreError(EPROTO) on what is not such a text; fields it does not know are ignored.

/// A daemon to its new keeper.
struct KeeperHello {
  std::string store;                   ///< absolute
  std::vector<std::string> arguments;  ///< of a successor, after the program's name
  std::uint64_t takeovers = 0;         ///< so far
  bool always = false;                 ///< a successor is wanted even if there are no mounts
  /// The daemon has mounts already, which are all there are: a keeper that stands and has others
  /// forgets those.
  bool serving = false;

  std::string text() const;
  static KeeperHello parse(const std::string& text);
};

/// CLOCK_MONOTONIC, which all processes share.
std::int64_t keeper_clock_ns();

/// The keeper to a daemon. Times are of keeper_clock_ns().
struct KeeperWelcome {
  std::int64_t pid = 0;         ///< the keeper's
  std::uint64_t takeovers = 0;  ///< this one included
  std::int64_t since_ns = 0;    ///< nobody has served the mounts since; 0: there was no takeover
  bool upgrade = false;         ///< the earlier daemon has left to be replaced by another program
  std::string failure;          ///< why an upgrade did not happen; empty: it did

  std::string text() const;
  static KeeperWelcome parse(const std::string& text);
};

/// All that is needed to serve a mount besides its device.
struct KeptMount {
  std::string target;  ///< "VOLUME" or "VOLUME@SNAPSHOT"
  std::string mount_point;
  std::string options;  ///< as one -o text
  bool read_only = false;
  bool detached = false;
  std::int64_t mounted_ns = 0;
  std::uint64_t volume_id = 0;
  std::uint64_t since_lsn = 0;  ///< the journal's end when the mount began
  std::uint64_t device = 0;     ///< st_dev
  FuseAgreement agreement;

  std::string text() const;
  static KeptMount parse(const std::string& text);
};

}  // namespace varve
