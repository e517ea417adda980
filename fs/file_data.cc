// SPDX-License-Identifier: Apache-2.0
#include "fs/file_data.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <utility>

#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::size_t kBlockMemory = 176;  // besides its bytes: map node, ranges, allocator
constexpr std::size_t kHoleMemory = 64;
constexpr std::size_t kSharedMemory = 640;

constexpr std::uint64_t blocks_holding(std::uint64_t bytes) {
  return bytes / kBlockBytes + (bytes % kBlockBytes != 0 ? 1 : 0);
}

/// Joins [begin, end) with the ranges it meets or touches.
void add_range(std::vector<FileData::Block::Range>& ranges, std::uint32_t begin,
               std::uint32_t end) {
  auto first = std::find_if(ranges.begin(), ranges.end(), [&](const FileData::Block::Range& range) {
    return range.end >= begin;
  });
  auto last = first;
  while (last != ranges.end() && last->begin <= end) {
    begin = std::min(begin, last->begin);
    end = std::max(end, last->end);
    ++last;
  }
  if (first == last) {
    ranges.insert(first, {begin, end});
  } else {
    *first = {begin, end};
    ranges.erase(std::next(first), last);
  }
}

}  // namespace

void FileData::BlockBytes::cover(std::uint32_t begin, std::uint32_t end) {
  begin = begin / kStepBytes * kStepBytes;
  end = (end + kStepBytes - 1) / kStepBytes * kStepBytes;
  if (size() != 0) {
    begin = std::min(begin, begin_);
    end = std::max(end, end_);
    if (begin == begin_ && end == end_) return;
  }
  auto bytes = std::make_unique_for_overwrite<std::byte[]>(end - begin);
  if (size() != 0) std::memcpy(bytes.get() + (begin_ - begin), bytes_.get(), size());
  bytes_ = std::move(bytes);
  begin_ = begin;
  end_ = end;
}

void FileData::write(std::uint64_t offset, ByteView data) {
  ++changes_;
  while (!data.empty()) {
    const std::uint64_t begin = offset % kBlockBytes;
    const std::size_t size = std::min<std::uint64_t>(kBlockBytes - begin, data.size());
    Block& block = block_for(offset / kBlockBytes);
    const auto from = static_cast<std::uint32_t>(begin);
    const auto to = static_cast<std::uint32_t>(begin + size);
    memory_bytes_ -= block.bytes.size();
    block.bytes.cover(from, to);
    memory_bytes_ += block.bytes.size();
    std::memcpy(block.bytes.at(from), data.data(), size);
    add_range(block.written, from, to);
    offset += size;
    data = data.subspan(size);
  }
}

void FileData::punch(std::uint64_t offset, std::uint64_t size) {
  ++changes_;
  const std::uint64_t end = offset > kNoLimit - size ? kNoLimit : offset + size;
  const std::uint64_t first = blocks_holding(offset);
  const std::uint64_t last = end / kBlockBytes;
  if (first > last) {  // inside one block
    zero_edge(offset, end);
    return;
  }
  zero_edge(offset, first * kBlockBytes);
  zero_edge(last * kBlockBytes, end);
  add_hole(first, last);
}

void FileData::cut(std::uint64_t size) {
  ++changes_;
  const std::uint64_t first_gone = blocks_holding(size);
  erase_blocks(first_gone, kNoLimit);
  remove_hole(first_gone, kNoLimit);
  if (size % kBlockBytes != 0) {
    trim_block(size / kBlockBytes, static_cast<std::uint32_t>(size % kBlockBytes));
  }
  base_limit_ = std::min(base_limit_, size);
  // A shared region is newer than the limit, so the cut has to reach into it.
  auto shared = shared_.lower_bound(size / kRegionBytes);
  if (shared != shared_.end() && shared->first * kRegionBytes < size) {
    punch(size, (shared->first + 1) * kRegionBytes - size);
    ++shared;
  }
  while (shared != shared_.end()) {
    memory_bytes_ -= kSharedMemory;
    shared = shared_.erase(shared);
  }
}

void FileData::share(std::uint64_t region, const RegionRecord& record) {
  ++changes_;
  const std::uint64_t first = region * kBlocksPerRegion;
  erase_blocks(first, first + kBlocksPerRegion);
  remove_hole(first, first + kBlocksPerRegion);
  if (shared_.insert_or_assign(region, record).second) memory_bytes_ += kSharedMemory;
}

bool FileData::is_hole(std::uint64_t block) const {
  if (holes_.empty()) return false;
  const auto after = holes_.upper_bound(block);
  return after != holes_.begin() && std::prev(after)->second > block;
}

FileData FileData::shape() const {
  FileData out;
  for (const auto& [index, block] : blocks_)
    out.blocks_.emplace_hint(out.blocks_.end(), index, Block{});
  out.holes_ = holes_;
  out.shared_ = shared_;
  out.base_limit_ = base_limit_;
  out.changes_ = changes_;
  return out;
}

FileData::Block& FileData::block_for(std::uint64_t index) {
  const auto at = blocks_.lower_bound(index);
  if (at != blocks_.end() && at->first == index) return at->second;
  Block block;
  block.zero_below = zero_below(index);
  remove_hole(index, index + 1);
  memory_bytes_ += kBlockMemory;
  return blocks_.emplace_hint(at, index, std::move(block))->second;
}

/// What a block without bytes of its own shows is zeros for certain.
bool FileData::zero_below(std::uint64_t index) const {
  if (is_hole(index)) return true;
  return index * kBlockBytes >= base_limit_ && !shared_.contains(index / kBlocksPerRegion);
}

/// Writes zeros inside one block, unless it shows them already.
void FileData::zero_edge(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return;
  static constexpr std::array<std::byte, kBlockBytes> kZeros{};
  const std::uint64_t index = begin / kBlockBytes;
  if (!blocks_.contains(index) && zero_below(index)) return;
  write(begin, ByteView(kZeros).first(end - begin));
}

void FileData::add_hole(std::uint64_t first, std::uint64_t last) {
  if (first >= last) return;
  erase_blocks(first, last);
  auto shared = shared_.lower_bound((first + kBlocksPerRegion - 1) / kBlocksPerRegion);
  while (shared != shared_.end() && (shared->first + 1) * kBlocksPerRegion <= last) {
    memory_bytes_ -= kSharedMemory;
    shared = shared_.erase(shared);
  }
  auto at = holes_.upper_bound(first);
  if (at != holes_.begin() && std::prev(at)->second >= first) --at;
  while (at != holes_.end() && at->first <= last) {
    first = std::min(first, at->first);
    last = std::max(last, at->second);
    memory_bytes_ -= kHoleMemory;
    at = holes_.erase(at);
  }
  holes_.emplace_hint(at, first, last);
  memory_bytes_ += kHoleMemory;
}

void FileData::remove_hole(std::uint64_t first, std::uint64_t last) {
  auto at = holes_.upper_bound(first);
  if (at != holes_.begin() && std::prev(at)->second > first) --at;
  while (at != holes_.end() && at->first < last) {
    const auto [begin, end] = *at;
    at = holes_.erase(at);
    memory_bytes_ -= kHoleMemory;
    if (begin < first) {
      holes_.emplace(begin, first);
      memory_bytes_ += kHoleMemory;
    }
    if (end > last) {
      at = holes_.emplace(last, end).first;
      memory_bytes_ += kHoleMemory;
      break;
    }
  }
}

void FileData::erase_blocks(std::uint64_t first, std::uint64_t last) {
  auto at = blocks_.lower_bound(first);
  while (at != blocks_.end() && at->first < last) {
    memory_bytes_ -= kBlockMemory + at->second.bytes.size();
    at = blocks_.erase(at);
  }
}

/// Forgets what was written at or past `end` in a block. The block stays, even without a byte of
/// its own: it holds data as far as InodeRecord::allocated is concerned.
void FileData::trim_block(std::uint64_t index, std::uint32_t end) {
  const auto at = blocks_.find(index);
  if (at == blocks_.end()) return;
  auto& written = at->second.written;
  while (!written.empty() && written.back().begin >= end) written.pop_back();
  if (!written.empty()) written.back().end = std::min(written.back().end, end);
}

}  // namespace varve
