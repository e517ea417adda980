// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "store/base/disk.h"
#include "store/base/mutex.h"

namespace varve {

/// Which containers use which volumes: a count for each (volume, id), for an engine mounts with the
/// id of a running container again (docker cp) and unmounts as often. Kept in a file that survives
/// the daemon's death and is void after a reboot, as nobody unmounts then. Safe to share between
/// threads.
class Attachments {
 public:
  struct Holder {
    std::string id;
    std::uint32_t count = 0;
    std::int64_t since_ms = 0;  ///< of the newest mount, since the boot
  };

  /// Reads the file at `path`; what was written in another boot than `boot_id`, or cannot be
  /// understood, is dropped and logged.
  Attachments(Disk& disk, std::string path, std::string boot_id);

  /// One more mount of `volume` by `id`. StoreError when it cannot be written; then it counts all
  /// the same, until this process ends.
  void add(const std::string& volume, const std::string& id);
  /// One less; false if the pair was not known, which is no error.
  bool remove(const std::string& volume, const std::string& id);
  /// Nobody uses `volume` any more.
  void clear(const std::string& volume);

  /// Who uses the volume, by id.
  std::vector<Holder> holders(const std::string& volume) const;
  /// The volumes that somebody uses, by name.
  std::vector<std::string> volumes() const;

  /// The id of this boot of the host: $VARVE_BOOT_ID (tests), else the kernel's.
  static std::string this_boot();
  /// Milliseconds since the boot, as Holder::since_ms.
  static std::int64_t now_ms();

 private:
  struct Use {
    std::uint32_t count = 0;
    std::int64_t since_ms = 0;
  };
  using Volumes = std::map<std::string, std::map<std::string, Use>>;

  void load();
  void save() REQUIRES(mutex_);

  Disk& disk_;
  const std::string path_;
  const std::string boot_id_;
  mutable Mutex mutex_;
  Volumes volumes_ GUARDED_BY(mutex_);
};

}  // namespace varve
