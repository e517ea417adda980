// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "fs/head.h"
#include "fs/snapshot_cut.h"
#include "snapshot/catalog.h"

namespace varve {

/// Where a tree keeps the counters of its head.
inline constexpr Key kHeadInfoKey{kHeadIno, Kind::kHeadInfo, 0};

/// One frozen generation of a volume on its way into the store.
struct Generation {
  VolumeId volume{};
  std::shared_ptr<const Base> base;  ///< what it lies on; the head's root in the catalog
  std::shared_ptr<const Overlay> overlay;
  Lsn cut_lsn = 0;                 ///< operations before it are committed with it
  std::optional<SnapshotCut> cut;  ///< the snapshot that its commit makes
};

/// Puts everything of `generation` into `change`: objects, the new tree, the head's root, the
/// volume's committed_lsn and the snapshot. Nothing is visible before change.finish. A snapshot
/// whose name exists already is not made again. Waits for disks and hashes for long.
void stage_generation(Catalog::Change& change, Catalog& catalog, Store& store, NodeCache& cache,
                      const Generation& generation, std::size_t threads);

/// The committed state of `root`, pinned.
std::shared_ptr<const Base> pinned_base(Store& store, NodeCache& cache,
                                        const std::optional<Ptr>& root);

/// Edits the counters of a head in `change`: for quota and next inode of volumes not in use.
void edit_head_info(Catalog::Change& change, NodeCache& cache, NodeId head,
                    const std::function<void(HeadInfoRecord&)>& edit);
/// The counters at `root`; those of an empty head without one. Waits for disks.
HeadInfoRecord head_info_of(NodeCache& cache, const std::optional<Ptr>& root);

}  // namespace varve
