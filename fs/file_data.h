// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "snapshot/key.h"
#include "snapshot/record.h"

namespace varve {

/// The changes to one file's data in one generation, over an older state of the file. Not
/// thread-safe: the owner's gate guards it until the generation is frozen; then it is immutable.
///
/// A byte is, newest first: in a written range of its block; zero if its block lies in a hole; in a
/// region shared by copy_range; zero if at or past `base_limit`; else the older state's.
class FileData {
 public:
  static constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

  /// The part of a block that has been written to, in steps of kStepBytes: a small file takes as
  /// much memory as it has bytes, about.
  class BlockBytes {
   public:
    static constexpr std::uint32_t kStepBytes = 1024;

    /// Makes [begin, end) part of it; what it adds has any content.
    void cover(std::uint32_t begin, std::uint32_t end);
    /// At an offset inside the block that is covered.
    std::byte* at(std::uint32_t offset) { return bytes_.get() + (offset - begin_); }
    const std::byte* at(std::uint32_t offset) const { return bytes_.get() + (offset - begin_); }
    std::size_t size() const { return end_ - begin_; }

   private:
    std::unique_ptr<std::byte[]> bytes_;
    std::uint32_t begin_ = 0;
    std::uint32_t end_ = 0;
  };

  /// One 16 KiB block with bytes written in this generation.
  struct Block {
    struct Range {
      std::uint32_t begin = 0;  ///< inside the block
      std::uint32_t end = 0;
    };
    BlockBytes bytes;            ///< covers what is written
    std::vector<Range> written;  ///< ascending, disjoint, not adjacent; empty after a cut
    /// What the rest of the block shows: zeros, or the older state.
    bool zero_below = false;
    bool whole() const {
      return written.size() == 1 && written[0].begin == 0 && written[0].end == kBlockBytes;
    }
  };

  void write(std::uint64_t offset, ByteView data);
  /// The range reads as zeros. Whole blocks become holes; the edges are written zeros.
  void punch(std::uint64_t offset, std::uint64_t size);
  /// The file was cut to `size`: nothing older shows at or past it any more, and it reads as zeros
  /// when the file grows again.
  void cut(std::uint64_t size);
  /// The region shows `record` (copy_range); pointers must be kept alive by the caller.
  void share(std::uint64_t region, const RegionRecord& record);

  const std::map<std::uint64_t, Block>& blocks() const { return blocks_; }  ///< by offset / 16 KiB
  /// Disjoint ranges of whole blocks [begin, end) that are holes, by first block.
  const std::map<std::uint64_t, std::uint64_t>& holes() const { return holes_; }
  std::uint64_t base_limit() const { return base_limit_; }
  const std::map<std::uint64_t, RegionRecord>& shared() const { return shared_; }
  bool is_hole(std::uint64_t block) const;
  /// Memory held, about.
  std::size_t memory_bytes() const { return memory_bytes_; }
  /// Grows with every change: equal numbers of one object mean that nothing changed between.
  std::uint64_t changes() const { return changes_; }
  /// The same blocks without their bytes (none), holes, limit and shared regions: enough to tell
  /// what is present, at a small part of the cost.
  FileData shape() const;

 private:
  Block& block_for(std::uint64_t index);
  bool zero_below(std::uint64_t index) const;
  void zero_edge(std::uint64_t begin, std::uint64_t end);
  void add_hole(std::uint64_t first, std::uint64_t last);
  void remove_hole(std::uint64_t first, std::uint64_t last);
  void erase_blocks(std::uint64_t first, std::uint64_t last);
  void trim_block(std::uint64_t index, std::uint32_t end);
  std::map<std::uint64_t, Block> blocks_;
  std::map<std::uint64_t, std::uint64_t> holes_;
  std::map<std::uint64_t, RegionRecord> shared_;
  std::uint64_t base_limit_ = kNoLimit;
  std::size_t memory_bytes_ = 0;
  std::uint64_t changes_ = 0;
};

}  // namespace varve
