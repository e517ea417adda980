// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "fs/attached_volume.h"
#include "fs/file_change.h"
#include "fs/file_io.h"
#include "fs/file_view.h"
#include "store/base/error.h"

namespace varve {

std::uint64_t AttachedVolume::seek(Ino ino, std::uint64_t offset, SeekWhat what) {
  struct Step {
    std::uint64_t offset = 0;
    bool found = false;
  };
  // A search through a big file leaves the gate now and then; it is then as atomic as a loop of
  // lseek calls.
  std::uint64_t position = offset;
  for (;;) {
    const Step step = view([&](Transaction& transaction) -> Step {
      const InodeRecord inode = transaction.inode(ino);
      require_regular(inode);
      if (offset >= inode.size) throw PosixError(ENXIO);
      const bool data = what == SeekWhat::kData;
      if (is_inline_file(inode)) return {data ? offset : inode.size, true};
      const std::uint64_t blocks = (inode.size + kBlockBytes - 1) / kBlockBytes;
      head_.gate().assert_held();
      const auto [block, found] =
          FileView(head_, ino)
              .find_block(position / kBlockBytes, blocks, data, FileChange::kGateRegions);
      if (found && block == blocks) {
        if (data) throw PosixError(ENXIO);
        return {inode.size, true};
      }
      return {std::max(position, block * kBlockBytes), found};
    });
    if (step.found) return step.offset;
    position = step.offset;
  }
}

}  // namespace varve
