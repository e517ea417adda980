// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fs/file_data.h"
#include "fs/head.h"
#include "snapshot/tree.h"
#include "store/objects.h"

namespace varve {

/// True if block `index` (0 ..< kBlocksPerRegion) of the region holds data.
bool holds_block(const RegionRecord& record, std::size_t index);

/// A part of an object that belongs at `out_offset` of a read's output. What lies past the object's
/// content reads as zeros.
struct Piece {
  Ptr ptr;
  std::uint32_t object_offset = 0;
  std::uint32_t size = 0;
  std::uint64_t out_offset = 0;
};

/// Copies every piece from its object, verified, to `out`. Waits for disks: never under the gate.
/// The caller holds the Base under which the pieces were found. CorruptionError as Objects::read.
void fetch_pieces(Objects& objects, std::span<const Piece> pieces, std::span<std::byte> out);

/// What the data of one file shows at one moment: layers of changes over the regions of a tree.
/// It borrows both. Made under the gate for what a head shows, or of immutable layers without it.
/// For one thread; inline content is not its business.
class FileView {
 public:
  /// A head that was recovered on a full disk has more frozen generations than kMaxFrozen.
  using Layers = boost::container::small_vector<const FileData*, Head::kMaxFrozen + 1>;

  /// `layers` newest first, null where a generation says nothing about the file. Tree reads use
  /// `wait`; WouldBlock and CorruptionError pass through every method.
  FileView(const Layers& layers, const Tree& base, Ino ino, Wait wait);
  /// What `head` shows now, with Wait::kRefused.
  FileView(Head& head, Ino ino) REQUIRES(head.gate());

  /// Fills the parts of `out` that layers and holes know and adds the rest to `pieces`.
  void read(std::uint64_t offset, std::span<std::byte> out, std::vector<Piece>& pieces);
  /// As read, of the pieces alone.
  void find_pieces(std::uint64_t offset, std::uint64_t size, std::vector<Piece>& pieces);

  /// True if the block holds data, even of zeros.
  bool present(std::uint64_t block);
  /// How many blocks of [first, last) hold data; none when more than `budget` regions would have to
  /// be looked at.
  std::optional<std::uint64_t> count_present(std::uint64_t first, std::uint64_t last,
                                             std::size_t budget);
  /// The first block of [first, last) that holds data (`wanted`) or does not; `last` if there is
  /// none. Looks at `budget` regions at most: `found` is false if the search has to go on at the
  /// block returned.
  struct Found {
    std::uint64_t block = 0;
    bool found = false;
  };
  Found find_block(std::uint64_t first, std::uint64_t last, bool wanted, std::size_t budget);

  /// No layer says anything about the region: it is the tree's, or absent there.
  bool untouched(std::uint64_t region) const;
  /// The tree's record of the region.
  const RegionRecord* base_region(std::uint64_t region);

 private:
  struct Target;
  void resolve(std::uint64_t begin, std::uint64_t end, std::size_t layer, Target& target);
  void resolve_below(std::uint64_t begin, std::uint64_t end, std::size_t layer, Target& target);
  std::uint64_t next_region(std::uint64_t region, std::uint64_t end);
  void load(std::uint64_t region);

  Layers layers_;  ///< no null
  const Tree& base_;
  const Ino ino_;
  const Wait wait_;
  std::uint64_t base_end_;  ///< no region at or past it shows through
  // The records of the regions [window_begin_, window_end_), ascending.
  std::vector<std::pair<std::uint64_t, RegionRecord>> window_;
  std::uint64_t window_begin_ = 0;
  std::uint64_t window_end_ = 0;
  std::uint64_t wanted_end_ = 0;  ///< how far a load may look ahead
};

}  // namespace varve
