// SPDX-License-Identifier: Apache-2.0
#include "fs/region_builder.h"

#include <algorithm>
#include <string>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

/// New blocks that make an append worth one chunk of the whole region.
constexpr std::size_t kAppendBlocks = 4;

bool in_base(const RegionRecord& record, std::size_t index) {
  return record.base && record.base->data_bytes > index * kBlockBytes;
}

}  // namespace

RegionBuilder::RegionBuilder(const File& file, Objects& objects, ObjectsBatch& batch, Txg txg)
    : file_(file),
      objects_(objects),
      batch_(batch),
      txg_(txg),
      view_({&file.data, nullptr, nullptr}, file.base, file.ino, Wait::kAllowed) {}

std::optional<RegionRecord> RegionBuilder::build(std::uint64_t region) {
  const Plan wanted = plan(region);
  if (std::ranges::all_of(wanted.sources, [](Source s) { return s == Source::kNothing; })) {
    return std::nullopt;
  }
  if (const std::size_t blocks = bulk_blocks(wanted); blocks > 0) {
    const std::uint64_t begin = region * kRegionBytes;
    const std::uint64_t end = std::min(begin + blocks * kBlockBytes, file_.size);
    std::optional<Bytes> bytes;
    try {
      bytes = content(begin, end);
    } catch (const CorruptionError&) {
      // Block by block, what can be read is saved below.
    }
    if (bytes) {
      RegionRecord record;
      record.base = put(*bytes);
      return record;
    }
  }
  return build_blocks(wanted);
}

// ---- decisions ---------------------------------------------------------------------------------

RegionBuilder::Plan RegionBuilder::plan(std::uint64_t region) {
  Plan out;
  out.region = region;
  const auto shared = file_.data.shared().find(region);
  if (shared != file_.data.shared().end()) {
    out.lower = shared->second;
    out.lower_is_shared = true;
  } else if (const RegionRecord* older = view_.base_region(region)) {
    out.lower = *older;
  }
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    out.sources[i] = source_of(region * kBlocksPerRegion + i, out);
  }
  return out;
}

RegionBuilder::Source RegionBuilder::source_of(std::uint64_t block, const Plan& plan) const {
  if (block * kBlockBytes >= file_.size) return Source::kNothing;
  if (file_.data.blocks().contains(block)) return Source::kData;
  if (file_.data.is_hole(block)) return Source::kNothing;
  if (!plan.lower_is_shared && block * kBlockBytes >= file_.data.base_limit()) {
    return Source::kNothing;
  }
  if (!holds_block(plan.lower, block % kBlocksPerRegion)) return Source::kNothing;
  if (!plan.lower_is_shared && cut_inside(block, plan.lower)) return Source::kData;
  return Source::kLower;
}

/// The file was cut inside of the block, and the older chunk shows bytes past the cut.
bool RegionBuilder::cut_inside(std::uint64_t block, const RegionRecord& lower) const {
  const std::uint64_t begin = block * kBlockBytes;
  const std::uint64_t limit = file_.data.base_limit();
  if (limit <= begin || limit >= begin + kBlockBytes) return false;
  const std::optional<Ptr>& own = lower.blocks[block % kBlocksPerRegion];
  const std::uint64_t chunk_begin = own ? begin : begin / kRegionBytes * kRegionBytes;
  return chunk_begin + (own ? own : lower.base)->data_bytes > limit;
}

/// How many blocks one chunk from the region's start should hold; 0: not one chunk.
std::size_t RegionBuilder::bulk_blocks(const Plan& plan) const {
  if (file_.profile == Profile::kDatabase) return 0;
  std::size_t lower = 0;
  while (lower < kBlocksPerRegion && plan.sources[lower] == Source::kLower) ++lower;
  std::size_t end = lower;
  while (end < kBlocksPerRegion && plan.sources[end] == Source::kData) ++end;
  for (std::size_t i = end; i < kBlocksPerRegion; ++i) {
    if (plan.sources[i] != Source::kNothing) return 0;
  }
  if (lower == 0 || lower == end) return lower == 0 ? end : 0;
  if (end - lower < kAppendBlocks) return 0;
  // An append, but for the block in which the file ended; an overwrite stays in blocks.
  for (std::size_t i = lower + 1; i < end; ++i) {
    if (holds_block(plan.lower, i)) return 0;
  }
  return end;
}

// ---- block by block ----------------------------------------------------------------------------

RegionRecord RegionBuilder::build_blocks(const Plan& plan) {
  RegionRecord record;
  add_new_blocks(plan, record);
  add_lower_blocks(plan, record);
  if (!record.base) return record;
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if (plan.sources[i] == Source::kNothing && in_base(record, i)) {
      record.holes = static_cast<std::uint8_t>(record.holes | 1u << i);
    }
  }
  return record;
}

void RegionBuilder::add_new_blocks(const Plan& plan, RegionRecord& record) {
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if (plan.sources[i] != Source::kData) continue;
    record.blocks[i] = put_block(plan.region * kBlocksPerRegion + i);
    if (record.blocks[i]) continue;
    if (plan.lower.blocks[i]) {
      record.blocks[i] = keep(plan, *plan.lower.blocks[i]);
    } else if (!record.base) {
      record.base = keep(plan, *plan.lower.base);
    }
  }
}

void RegionBuilder::add_lower_blocks(const Plan& plan, RegionRecord& record) {
  std::size_t overrides = 0;
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if (plan.sources[i] == Source::kLower && plan.lower.blocks[i]) {
      record.blocks[i] = keep(plan, *plan.lower.blocks[i]);
    }
    if (record.blocks[i]) ++overrides;
  }
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if (plan.sources[i] != Source::kLower || plan.lower.blocks[i]) continue;
    if (!record.base && overrides >= kMaxOverrides) {
      const std::uint64_t begin = plan.region * kRegionBytes + i * kBlockBytes;
      try {
        record.blocks[i] = put(content(begin, std::min(begin + kBlockBytes, file_.size)));
        continue;
      } catch (const CorruptionError&) {
        // The damaged chunk stays in place for the blocks that nobody changed.
      }
    }
    if (!record.base) record.base = keep(plan, *plan.lower.base);
  }
}

/// None if the older state is damaged.
std::optional<Ptr> RegionBuilder::put_block(std::uint64_t block) {
  const std::uint64_t begin = block * kBlockBytes;
  try {
    return put(content(begin, std::min(begin + kBlockBytes, file_.size)));
  } catch (const CorruptionError& error) {
    log_error("commit", "inode " + std::to_string(to_integer(file_.ino)) + ", offset " +
                            std::to_string(begin) +
                            ": changes to a damaged block are lost: " + error.what());
    return std::nullopt;
  }
}

// ---- bytes -------------------------------------------------------------------------------------

Bytes RegionBuilder::content(std::uint64_t offset, std::uint64_t end) {
  Bytes out(end - offset);
  std::vector<Piece> pieces;
  view_.read(offset, out, pieces);
  fetch_pieces(objects_, pieces, out);
  return out;
}

Ptr RegionBuilder::put(ByteView content) {
  const Effort effort = file_.profile == Profile::kArchive ? Effort::kThorough : Effort::kUsual;
  const ObjectsBatch::Stored stored = batch_.put(content, ObjectKind::kData, effort);
  return {stored.digest, stored.stored_bytes, stored.data_bytes, txg_};
}

/// The lower pointer in the new record: the tree's own stays the same birth event; one of another
/// file becomes an event of this commit.
Ptr RegionBuilder::keep(const Plan& plan, const Ptr& ptr) {
  if (!plan.lower_is_shared) return ptr;
  const ObjectsBatch::Stored stored = batch_.retain(ptr.digest);
  return {stored.digest, stored.stored_bytes, stored.data_bytes, txg_};
}

}  // namespace varve
