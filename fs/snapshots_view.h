// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fs/volume.h"
#include "snapshot/lineage.h"

namespace varve {

/// The snapshots of one volume as a directory shows them. Safe to share between threads.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;

  struct Entry {
    NodeId node{};
    std::string name;
  };
  /// All that there are now, ascending by node.
  virtual std::vector<Entry> list() = 0;
  /// A read-only view, which need not be kept: a number stands for the same snapshot for ever.
  /// PosixError(ESTALE) if it was removed.
  virtual std::shared_ptr<Volume> open(NodeId snapshot) = 0;
};

/// The name in the root directory. It does not appear in listings, so that programs that walk the
/// tree see each file once.
inline constexpr std::string_view kSnapshotsName = ".snapshots";

/// `volume` with its snapshots as read-only directories /.snapshots/NAME. A file that the volume
/// itself has under that name is shown instead. The numbers of inodes there say which snapshot they
/// are of, so another process can go on with them: bit 63, 23 bits of the node, 40 bits of the
/// inode; a snapshot or file whose number is larger is not shown (EOVERFLOW). Changes there are
/// EROFS, links from there EXDEV. As safe to share between threads as `volume` is, which it owns a
/// share of.
std::shared_ptr<Volume> with_snapshots(std::shared_ptr<Volume> volume,
                                       std::shared_ptr<SnapshotSource> source);

}  // namespace varve
