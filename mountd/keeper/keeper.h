// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mountd/keeper/keeper_channel.h"
#include "mountd/keeper/keeper_texts.h"
#include "store/base/mutex.h"

namespace varve {

/// What a successor gets of the mounts of the daemon before it.
struct KeeperLegacy {
  struct Mount {
    std::uint64_t number = 0;
    KeptMount about;
    Descriptor device;
  };
  KeeperChannel channel;
  KeeperWelcome welcome;
  std::vector<Mount> mounts;

  /// From the keeper at the other end of `socket`. StoreError when it says something else.
  static KeeperLegacy receive(Descriptor socket);
  /// From the standing keeper at `path`, which is waited for for a while. UserError if it refuses
  /// or does not answer.
  static KeeperLegacy from_standing(const std::string& path, const KeeperHello& about);

  /// True if nobody has left anything.
  bool is_new() const { return mounts.empty() && welcome.since_ns == 0; }
};

/// The daemon's side of its keeper: a process that holds the mounts' devices, so that they outlive
/// a daemon that is killed or replaced (docs/decisions/0010-keeper.md). Starts one with the first
/// mount, and another one when that dies. Owns a duplicate of each device that is kept.
///
/// Safe to share between threads.
class Keeper {
 public:
  struct Figures {
    bool running = false;
    std::int64_t pid = 0;
    std::uint64_t takeovers = 0;          ///< since the first of the mounts there are
    std::optional<double> last_pause_ms;  ///< of the takeover that this daemon came by
    std::string upgrade_failure;          ///< why the last upgrade did not happen
    std::string problem;                  ///< why none is running
  };

  /// For a daemon that begins. Starts nothing yet.
  explicit Keeper(KeeperHello about);
  /// For a successor; its mounts are kept on until they are forgotten. `standing` is where its
  /// keeper answers if that is a service of its own, which this one then never starts but only
  /// connects to.
  Keeper(KeeperHello about, KeeperLegacy& legacy, std::string standing = {});
  /// Leaves the keeper without a word, as a process that is killed does.
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// From here on the mount outlives this process. `device` is duplicated. StoreError if there is
  /// no keeper and none can be started: then the mount is as good as any without one.
  std::uint64_t keep(const KeptMount& mount, int device);
  /// What the successor is told of the mount has changed.
  void change(std::uint64_t number, const KeptMount& mount);
  /// The mount has ended. Its device is closed here, and in the keeper as soon as that hears of it.
  void forget(std::uint64_t number);

  /// The daemon serves. From here on it is followed by another one even without mounts, if
  /// KeeperHello::always says so.
  void began();
  /// The successor serves what it could take over.
  void ready();
  /// The successor cannot begin; the process ends now.
  void failed(const std::string& sentence);
  /// A keeper runs when this returns. StoreError if none can be started.
  void require();
  /// The program at `path` shall follow when this process has gone, whatever it leaves.
  void upgrade(const std::string& path);
  /// True in a program that was asked for by upgrade() and is not ready yet: if it ends, the one
  /// before it goes on.
  bool on_trial() const;
  /// This process ends in order: the keeper does too.
  void goodbye();

  Figures figures() const;

 private:
  struct Entry {
    std::string text;
    Descriptor device;
  };

  std::pair<KeeperChannel, pid_t> reach() const;
  void start() REQUIRES(mutex_);
  void start_if_none() REQUIRES(mutex_);
  static void send_mount(const KeeperChannel& channel, std::uint64_t number, const Entry& entry);
  void watch();
  bool start_again();
  void stop_watching();

  const KeeperHello about_;
  const std::string standing_;  ///< empty: the keeper is started here
  mutable Mutex mutex_;
  KeeperChannel channel_ GUARDED_BY(mutex_);
  KeeperWelcome welcome_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, Entry> entries_ GUARDED_BY(mutex_);
  std::uint64_t next_number_ GUARDED_BY(mutex_) = 1;
  std::optional<double> last_pause_ms_ GUARDED_BY(mutex_);
  std::string upgrade_failure_ GUARDED_BY(mutex_);
  std::string problem_ GUARDED_BY(mutex_);
  bool leaving_ GUARDED_BY(mutex_) = false;
  std::thread watcher_ GUARDED_BY(mutex_);
};

}  // namespace varve
