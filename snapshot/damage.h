// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "snapshot/catalog.h"
#include "snapshot/key.h"
#include "snapshot/node_cache.h"

namespace varve {

/// A file that cannot be read in whole, because objects that it consists of are damaged.
struct DamagedFile {
  enum class What : std::uint8_t {
    kContent,   ///< bytes of the file are EIO
    kMetadata,  ///< the file, or names in the directory, cannot be read at all
  };
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    friend auto operator<=>(const Range&, const Range&) = default;
  };

  std::string volume;
  bool trashed = false;                ///< the volume is in the trash
  bool in_present = false;             ///< in the volume's present state
  std::vector<std::string> snapshots;  ///< of the volume, that have it, oldest first
  std::string path;  ///< "/a/b"; empty if it has no name that can be read: see `ino`
  Ino ino{};
  What what{};
  std::vector<Range> ranges;  ///< of kContent, ascending; none for a target or an attribute
};

/// A tree by the name that users have for it.
struct NamedTree {
  VolumeRow volume;
  std::string snapshot;  ///< empty: the volume's present state
  std::optional<Ptr> root;
};

/// The files of `trees` that the objects `bad` take with them, sorted by volume and path. Subtrees
/// that trees share are looked through once: O(nodes of the store). Nodes that cannot be read count
/// as bad. The caller keeps the trees readable by a pin. Waits for disks.
std::vector<DamagedFile> find_damaged_files(const std::vector<NamedTree>& trees, NodeCache& cache,
                                            const std::set<Digest>& bad);

}  // namespace varve
