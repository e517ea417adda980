// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "fs/file_data.h"
#include "fs/file_view.h"
#include "fs/profile.h"
#include "snapshot/ptr.h"
#include "store/objects.h"

namespace varve {

/// Makes the new records of one file's changed regions out of one generation and the tree below it.
/// A region takes one of three forms:
///
///   bulk      one chunk from the region's start: all of its data is new, or was appended
///   base      the chunk that was there, with up to three blocks of 16 KiB over it
///   blocks    blocks of 16 KiB alone: from the fourth override on, and for data with gaps
///
/// A database's regions are blocks from the start.
///
/// Blocks that did not change keep their pointers and births. Chunks end at the file's end. A block
/// that is all zeros stays a block, for InodeRecord::allocated counts it; holes are made when data
/// is written, not here.
///
/// Objects go to `batch`; what is needed of the older state is read, verified, without any lock. An
/// older block that is damaged and was changed in part cannot be merged: it stays what it was, so
/// reading it stays an error, and what was written into it since is lost with it. The loss is
/// logged. (A write reads such a block before it is accepted, so this takes damage in between.)
/// For one thread; several builders may share a batch.
class RegionBuilder {
 public:
  struct File {
    Ino ino{};
    std::uint64_t size = 0;  ///< with the generation
    const FileData& data;
    const Tree& base;
    Profile profile = Profile::kGeneral;
  };
  RegionBuilder(const File& file, Objects& objects, ObjectsBatch& batch, Txg txg);

  /// The region's new record; none if it holds nothing.
  std::optional<RegionRecord> build(std::uint64_t region);

  /// Overrides of a base chunk from which on the base is dropped.
  static constexpr std::size_t kMaxOverrides = 4;

 private:
  enum class Source : std::uint8_t {
    kNothing,  ///< a hole
    kLower,    ///< the lower block as it is
    kData,     ///< new bytes, perhaps over lower ones
  };
  /// `lower` is what the region would be without new bytes: the tree's record, or a shared one.
  struct Plan {
    std::uint64_t region = 0;
    RegionRecord lower;
    bool lower_is_shared = false;
    std::array<Source, kBlocksPerRegion> sources{};
  };

  Plan plan(std::uint64_t region);
  Source source_of(std::uint64_t block, const Plan& plan) const;
  bool cut_inside(std::uint64_t block, const RegionRecord& lower) const;
  std::size_t bulk_blocks(const Plan& plan) const;
  RegionRecord build_blocks(const Plan& plan);
  void add_new_blocks(const Plan& plan, RegionRecord& record);
  void add_lower_blocks(const Plan& plan, RegionRecord& record);
  std::optional<Ptr> put_block(std::uint64_t block);

  Bytes content(std::uint64_t offset, std::uint64_t end);
  Ptr put(ByteView content);
  Ptr keep(const Plan& plan, const Ptr& ptr);

  const File file_;
  Objects& objects_;
  ObjectsBatch& batch_;
  const Txg txg_;
  FileView view_;
};

}  // namespace varve
