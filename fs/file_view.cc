// SPDX-License-Identifier: Apache-2.0
#include "fs/file_view.h"

#include <algorithm>
#include <cstring>

namespace varve {
namespace {

/// Records that one look at the tree brings in: the most of one leaf, about.
constexpr std::size_t kWindowRecords = 64;
constexpr std::uint64_t kNoRegion = FileData::kNoLimit;

constexpr std::uint64_t regions_up(std::uint64_t bytes) {
  return bytes / kRegionBytes + (bytes % kRegionBytes != 0 ? 1 : 0);
}

FileView::Layers layers_of(Head& head, Ino ino) REQUIRES(head.gate()) {
  FileView::Layers out;
  out.push_back(head.active().find_data(ino));
  for (auto frozen = head.frozen().rbegin(); frozen != head.frozen().rend(); ++frozen) {
    out.push_back(frozen->overlay->find_data(ino));
  }
  return out;
}

}  // namespace

bool holds_block(const RegionRecord& record, std::size_t index) {
  if ((record.holes >> index & 1) != 0) return false;
  return record.blocks[index] || (record.base && record.base->data_bytes > index * kBlockBytes);
}

void fetch_pieces(Objects& objects, std::span<const Piece> pieces, std::span<std::byte> out) {
  for (const Piece& piece : pieces) {
    const std::span<std::byte> to = out.subspan(piece.out_offset, piece.size);
    const std::size_t there = objects.read_part(piece.ptr.digest, piece.object_offset, to);
    std::memset(to.data() + there, 0, to.size() - there);
  }
}

/// Where a read puts what it finds. `out` may be null: then only pieces are wanted.
struct FileView::Target {
  std::uint64_t offset = 0;  ///< of out[0] in the file
  std::byte* out = nullptr;
  std::vector<Piece>& pieces;

  void zero(std::uint64_t begin, std::uint64_t end) {
    if (out != nullptr) std::memset(out + (begin - offset), 0, end - begin);
  }
  void copy(std::uint64_t begin, std::uint64_t end, const std::byte* from) {
    if (out != nullptr) std::memcpy(out + (begin - offset), from, end - begin);
  }
  void piece(std::uint64_t begin, std::uint64_t end, const Ptr& ptr, std::uint64_t object_offset) {
    const std::uint64_t out_offset = begin - offset;
    if (!pieces.empty()) {
      Piece& last = pieces.back();
      if (last.ptr == ptr && last.out_offset + last.size == out_offset &&
          last.object_offset + last.size == object_offset) {
        last.size += static_cast<std::uint32_t>(end - begin);
        return;
      }
    }
    pieces.push_back({ptr, static_cast<std::uint32_t>(object_offset),
                      static_cast<std::uint32_t>(end - begin), out_offset});
  }
  /// [begin, end) lies in one block.
  void region(std::uint64_t begin, std::uint64_t end, const RegionRecord* record) {
    const std::uint64_t in_region = begin % kRegionBytes;
    const std::size_t index = in_region / kBlockBytes;
    if (record == nullptr || !holds_block(*record, index)) {
      zero(begin, end);
    } else if (record->blocks[index]) {
      piece(begin, end, *record->blocks[index], in_region % kBlockBytes);
    } else {
      piece(begin, end, *record->base, in_region);
    }
  }
};

FileView::FileView(const Layers& layers, const Tree& base, Ino ino, Wait wait)
    : base_(base), ino_(ino), wait_(wait), base_end_(kNoRegion) {
  for (const FileData* layer : layers) {
    if (layer == nullptr) continue;
    layers_.push_back(layer);
    base_end_ = std::min(base_end_, regions_up(layer->base_limit()));
  }
}

FileView::FileView(Head& head, Ino ino)
    : FileView(layers_of(head, ino), head.base()->tree, ino, Wait::kRefused) {}

void FileView::read(std::uint64_t offset, std::span<std::byte> out, std::vector<Piece>& pieces) {
  Target target{offset, out.data(), pieces};
  const std::uint64_t end = offset + out.size();
  wanted_end_ = regions_up(end);
  while (offset < end) {
    const std::uint64_t next = std::min(end, (offset / kBlockBytes + 1) * kBlockBytes);
    resolve(offset, next, 0, target);
    offset = next;
  }
}

void FileView::find_pieces(std::uint64_t offset, std::uint64_t size, std::vector<Piece>& pieces) {
  Target target{offset, nullptr, pieces};
  const std::uint64_t end = offset + size;
  wanted_end_ = regions_up(end);
  while (offset < end) {
    const std::uint64_t next = std::min(end, (offset / kBlockBytes + 1) * kBlockBytes);
    resolve(offset, next, 0, target);
    offset = next;
  }
}

/// [begin, end) lies in one block; `layer` and older ones decide.
void FileView::resolve(std::uint64_t begin, std::uint64_t end, std::size_t layer, Target& target) {
  if (layer == layers_.size()) {
    const std::uint64_t region = begin / kRegionBytes;
    target.region(begin, end, region < base_end_ ? base_region(region) : nullptr);
    return;
  }
  const FileData& data = *layers_[layer];
  const std::uint64_t index = begin / kBlockBytes;
  const auto at = data.blocks().find(index);
  if (at == data.blocks().end()) {
    if (data.is_hole(index)) {
      target.zero(begin, end);
    } else {
      resolve_below(begin, end, layer, target);
    }
    return;
  }
  const FileData::Block& block = at->second;
  const std::uint64_t start = index * kBlockBytes;
  const auto rest = [&](std::uint64_t from, std::uint64_t to) {
    if (from >= to) return;
    if (block.zero_below) {
      target.zero(from, to);
    } else {
      resolve_below(from, to, layer, target);
    }
  };
  std::uint64_t done = begin;
  for (const FileData::Block::Range& range : block.written) {
    const std::uint64_t from = std::max(done, start + range.begin);
    const std::uint64_t to = std::min(end, start + range.end);
    if (from >= to) continue;
    rest(done, from);
    target.copy(from, to, block.bytes.at(static_cast<std::uint32_t>(from - start)));
    done = to;
  }
  rest(done, end);
}

/// What `layer` shows where it has no bytes and no hole.
void FileView::resolve_below(std::uint64_t begin, std::uint64_t end, std::size_t layer,
                             Target& target) {
  const FileData& data = *layers_[layer];
  if (!data.shared().empty()) {
    const auto shared = data.shared().find(begin / kRegionBytes);
    if (shared != data.shared().end()) {
      target.region(begin, end, &shared->second);
      return;
    }
  }
  const std::uint64_t limit = std::clamp(data.base_limit(), begin, end);
  if (begin < limit) resolve(begin, limit, layer + 1, target);
  if (limit < end) target.zero(limit, end);
}

bool FileView::present(std::uint64_t block) {
  const std::uint64_t region = block / kBlocksPerRegion;
  const std::size_t index = block % kBlocksPerRegion;
  for (const FileData* layer : layers_) {
    if (layer->blocks().contains(block)) return true;
    if (layer->is_hole(block)) return false;
    const auto shared = layer->shared().find(region);
    if (shared != layer->shared().end()) return holds_block(shared->second, index);
    if (block * kBlockBytes >= layer->base_limit()) return false;
  }
  const RegionRecord* const record = base_region(region);
  return record != nullptr && holds_block(*record, index);
}

std::optional<std::uint64_t> FileView::count_present(std::uint64_t first, std::uint64_t last,
                                                     std::size_t budget) {
  std::uint64_t count = 0;
  const std::uint64_t end = (last + kBlocksPerRegion - 1) / kBlocksPerRegion;
  wanted_end_ = end;
  for (std::uint64_t region = next_region(first / kBlocksPerRegion, end); region < end;
       region = next_region(region + 1, end)) {
    if (budget-- == 0) return std::nullopt;
    const std::uint64_t to = std::min(last, (region + 1) * kBlocksPerRegion);
    for (std::uint64_t block = std::max(first, region * kBlocksPerRegion); block < to; ++block) {
      if (present(block)) ++count;
    }
  }
  return count;
}

FileView::Found FileView::find_block(std::uint64_t first, std::uint64_t last, bool wanted,
                                     std::size_t budget) {
  const std::uint64_t end = (last + kBlocksPerRegion - 1) / kBlocksPerRegion;
  wanted_end_ = end;
  std::uint64_t block = first;
  while (block < last) {
    if (budget-- == 0) return {block, false};
    const std::uint64_t region = block / kBlocksPerRegion;
    const std::uint64_t known = next_region(region, end);
    if (known > region) {  // nobody mentions what lies before it
      if (!wanted) return {block, true};
      block = known * kBlocksPerRegion;
      continue;
    }
    const std::uint64_t to = std::min(last, (region + 1) * kBlocksPerRegion);
    for (; block < to; ++block) {
      if (present(block) == wanted) return {block, true};
    }
  }
  return {last, true};
}

bool FileView::untouched(std::uint64_t region) const {
  const std::uint64_t first = region * kBlocksPerRegion;
  for (const FileData* layer : layers_) {
    const auto block = layer->blocks().lower_bound(first);
    if (block != layer->blocks().end() && block->first < first + kBlocksPerRegion) return false;
    if (layer->shared().contains(region)) return false;
    if (layer->base_limit() < (region + 1) * kRegionBytes) return false;
    const auto hole = layer->holes().lower_bound(first);
    if (hole != layer->holes().end() && hole->first < first + kBlocksPerRegion) return false;
    if (layer->is_hole(first)) return false;
  }
  return true;
}

const RegionRecord* FileView::base_region(std::uint64_t region) {
  if (region < window_begin_ || region >= window_end_) load(region);
  const auto at = std::lower_bound(
      window_.begin(), window_.end(), region,
      [](const auto& entry, std::uint64_t wanted) { return entry.first < wanted; });
  return at == window_.end() || at->first != region ? nullptr : &at->second;
}

/// The first region at or after `region`, before `end`, that a layer or the tree mentions; else
/// `end`.
std::uint64_t FileView::next_region(std::uint64_t region, std::uint64_t end) {
  std::uint64_t next = end;
  for (const FileData* layer : layers_) {
    const auto block = layer->blocks().lower_bound(region * kBlocksPerRegion);
    if (block != layer->blocks().end()) next = std::min(next, block->first / kBlocksPerRegion);
    const auto shared = layer->shared().lower_bound(region);
    if (shared != layer->shared().end()) next = std::min(next, shared->first);
  }
  const std::uint64_t base_end = std::min(next, base_end_);
  while (region < base_end) {
    if (region < window_begin_ || region >= window_end_) load(region);
    const auto at = std::lower_bound(
        window_.begin(), window_.end(), region,
        [](const auto& entry, std::uint64_t wanted) { return entry.first < wanted; });
    if (at != window_.end()) return std::min(next, at->first);
    region = window_end_;
  }
  return next;
}

/// Makes the window begin at `region`.
void FileView::load(std::uint64_t region) {
  window_.clear();
  const std::uint64_t end = std::max(wanted_end_, region + 1);
  std::uint64_t seen_end = end;
  base_.scan(Key{ino_, Kind::kRegion, region}, Key{ino_, Kind::kRegion, end}, wait_,
             [&](const Key& key, ByteView value) {
               if (window_.size() == kWindowRecords) {
                 seen_end = key.sub;
                 return false;
               }
               window_.emplace_back(key.sub, RegionRecord::decode(value));
               return true;
             });
  window_begin_ = region;
  window_end_ = seen_end;
}

}  // namespace varve
