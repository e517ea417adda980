// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "fs/head.h"
#include "snapshot/key.h"

namespace varve {

/// What a cache of names and inodes has to look at again when one volume goes from one state to
/// another (live rollback). Immutable: safe to share between threads.
class VolumeChanges {
 public:
  virtual ~VolumeChanges() = default;

  /// Every name that leads elsewhere now, or is gone, or new; and the names of every inode that
  /// differs. A name may come more than once. Waits for disks; CorruptionError when a state cannot
  /// be read: then anything may have changed.
  virtual void each_name(
      const std::function<void(Ino directory, std::string_view name)>& visit) const = 0;
  /// Every inode of which anything differs (attributes, data, extended attributes, entries),
  /// ascending, each once. Waits and throws as each_name does.
  virtual void each_inode(const std::function<void(Ino)>& visit) const = 0;
};

/// The changes between two committed states of one family, found by comparing their trees: O(what
/// differs), whatever the volume's size. Keeps both states readable.
class TreeChanges final : public VolumeChanges {
 public:
  TreeChanges(std::shared_ptr<const Base> before, std::shared_ptr<const Base> after)
      : before_(std::move(before)), after_(std::move(after)) {}

  void each_name(
      const std::function<void(Ino directory, std::string_view name)>& visit) const override;
  void each_inode(const std::function<void(Ino)>& visit) const override;

 private:
  const std::shared_ptr<const Base> before_;
  const std::shared_ptr<const Base> after_;
};

}  // namespace varve
