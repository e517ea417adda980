// SPDX-License-Identifier: Apache-2.0
#include "fs/file_change.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "fs/volume.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::size_t kNoBudget = std::numeric_limits<std::size_t>::max();

constexpr std::uint64_t blocks_up(std::uint64_t bytes) {
  return bytes / kBlockBytes + (bytes % kBlockBytes != 0 ? 1 : 0);
}

bool all_zero(ByteView bytes) {
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

/// The file may live in its record once it has `size` bytes.
bool fits_inline(const InodeRecord& inode, std::uint64_t size) {
  return size <= kInlineBytes && (is_inline_file(inode) || inode.allocated == 0);
}

}  // namespace

void set_allocated(Transaction& transaction, InodeRecord& inode, std::uint64_t allocated) {
  if (allocated == inode.allocated) return;
  HeadInfoRecord& info = transaction.head_info();
  const std::uint64_t total = info.logical_bytes - inode.allocated + allocated;
  if (allocated > inode.allocated && info.quota_bytes != 0 && total > info.quota_bytes) {
    throw PosixError(EDQUOT);
  }
  info.logical_bytes = total;
  inode.allocated = allocated;
}

// ---- counting ----------------------------------------------------------------------------------

FileChange::Stamp FileChange::stamp(Ino ino) const {
  Stamp out;
  out.base = head_.base();
  for (const Frozen& frozen : head_.frozen()) out.frozen.push_back(frozen.overlay);
  if (const FileData* data = head_.active().find_data(ino)) out.active_changes = data->changes();
  return out;
}

void FileChange::count(const Uncounted& range) {
  ++counts_;
  Counted counted;
  counted.range = range;
  FileData active;
  {
    const MutexLock lock(head_.gate());
    counted.stamp = stamp(range.ino);
    if (const FileData* data = head_.active().find_data(range.ino)) active = data->shape();
  }
  FileView::Layers layers{&active};
  const auto& frozen = counted.stamp.frozen;
  for (auto overlay = frozen.rbegin(); overlay != frozen.rend(); ++overlay) {
    layers.push_back((*overlay)->find_data(range.ino));
  }
  FileView view(layers, counted.stamp.base->tree, range.ino, Wait::kAllowed);
  counted.present = *view.count_present(range.first, range.last, kNoBudget);
  counted_ = std::move(counted);
}

std::uint64_t FileChange::count_present(FileView& view, Ino ino, std::uint64_t first,
                                        std::uint64_t last) {
  if (first >= last) return 0;
  if (counted_ && counted_->range.ino == ino && counted_->range.first == first &&
      counted_->range.last == last && counted_->stamp == stamp(ino)) {
    return counted_->present;
  }
  const std::size_t budget = counts_ < kMaxCounts ? kGateRegions : kNoBudget;
  if (const auto present = view.count_present(first, last, budget)) return *present;
  throw Uncounted{ino, first, last};
}

// ---- inline content ----------------------------------------------------------------------------

/// Moves inline content to the file's first block.
void FileChange::spill(Transaction& transaction, Ino ino, InodeRecord& inode) {
  if (!is_inline_file(inode)) return;
  spilled_ = std::move(std::get<Bytes>(inode.content.value));
  inode.content.value = Bytes{};
  transaction.write(ino, 0, spilled_);
  set_allocated(transaction, inode, kBlockBytes);
}

void FileChange::write_inline(Transaction& transaction, InodeRecord& inode, std::uint64_t offset,
                              ByteView data, std::uint64_t size) {
  Bytes content = std::move(std::get<Bytes>(inode.content.value));
  content.resize(size);
  std::copy(data.begin(), data.end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
  inode.content.value = std::move(content);
  inode.size = size;
  set_allocated(transaction, inode, inline_allocated(size));
}

// ---- operations --------------------------------------------------------------------------------

void FileChange::write(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t offset,
                       ByteView data) {
  head_.gate().assert_held();
  if (data.empty()) return;
  const std::uint64_t size = std::max(inode.size, offset + data.size());
  if (fits_inline(inode, size)) {
    write_inline(transaction, inode, offset, data, size);
    return;
  }
  write_blocks(transaction, ino, inode, offset, data);
  inode.size = size;
}

void FileChange::write_blocks(Transaction& transaction, Ino ino, InodeRecord& inode,
                              std::uint64_t offset, ByteView data) {
  const bool spilled = is_inline_file(inode);
  spill(transaction, ino, inode);
  FileView view(head_, ino);
  // Nothing lies past the last block of the present size: no need to look.
  const std::uint64_t known_blocks = blocks_up(inode.size);
  const auto present = [&](std::uint64_t block) {
    return spilled ? block == 0 : block < known_blocks && view.present(block);
  };
  const std::uint64_t end = offset + data.size();
  if (!spilled) check_edges(view, offset, end, inode.size);

  std::uint64_t allocated = inode.allocated;
  std::uint64_t run = offset;  // not yet written from here
  const auto flush = [&](std::uint64_t to) {
    if (run < to) transaction.write(ino, run, data.subspan(run - offset, to - run));
  };
  for (std::uint64_t at = offset; at < end;) {
    const std::uint64_t block = at / kBlockBytes;
    const std::uint64_t next = std::min(end, (block + 1) * kBlockBytes);
    const bool there = present(block);
    if (next - at == kBlockBytes && all_zero(data.subspan(at - offset, kBlockBytes))) {
      flush(at);
      if (there) transaction.punch(ino, at, kBlockBytes);
      if (there) allocated -= kBlockBytes;
      run = next;
    } else if (!there) {
      allocated += kBlockBytes;
    }
    at = next;
  }
  flush(end);
  set_allocated(transaction, inode, allocated);
}

void FileChange::check_edges(FileView& view, std::uint64_t offset, std::uint64_t end,
                             std::uint64_t size) {
  const std::uint64_t first_block = offset / kBlockBytes * kBlockBytes;
  check_older(view, first_block, std::min(offset, size));
  const std::uint64_t last_end = std::min(blocks_up(end) * kBlockBytes, size);
  check_older(view, end, last_end);
}

void FileChange::check_older(FileView& view, std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return;
  std::vector<Piece> pieces;
  view.find_pieces(begin, end - begin, pieces);
  for (const Piece& piece : pieces) head_.store().objects().probe(piece.ptr.digest, Wait::kRefused);
}

void FileChange::resize(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t size) {
  head_.gate().assert_held();
  if (size > kMaxFileBytes) throw PosixError(EFBIG);
  if (is_inline_file(inode) && size <= kInlineBytes) {
    std::get<Bytes>(inode.content.value).resize(size);
    inode.size = size;
    set_allocated(transaction, inode, inline_allocated(size));
    return;
  }
  if (size > inode.size) spill(transaction, ino, inode);
  if (size < inode.size && inode.allocated > 0) {
    std::uint64_t dropped = inode.allocated;
    if (size > 0) {
      FileView view(head_, ino);
      dropped = kBlockBytes * count_present(view, ino, blocks_up(size), blocks_up(inode.size));
    }
    transaction.cut(ino, size);
    set_allocated(transaction, inode, inode.allocated - dropped);
  }
  inode.size = size;
}

void FileChange::punch(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t offset,
                       std::uint64_t size) {
  head_.gate().assert_held();
  if (offset >= inode.size) return;
  std::uint64_t end = size > inode.size - offset ? inode.size : offset + size;
  if (is_inline_file(inode)) {
    Bytes& content = std::get<Bytes>(inode.content.value);
    std::fill(content.begin() + static_cast<std::ptrdiff_t>(offset),
              content.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
    return;
  }
  if (inode.allocated == 0) return;
  FileView view(head_, ino);
  // Nothing lies past the end, so the block there may go as a whole.
  if (end == inode.size && end <= kMaxFileBytes - kBlockBytes) end = blocks_up(end) * kBlockBytes;
  const std::uint64_t first = blocks_up(offset);
  const std::uint64_t last = end / kBlockBytes;
  // Edges in holes stay holes; edges over data become written zeros.
  const bool low_edge = offset % kBlockBytes != 0 && view.present(offset / kBlockBytes);
  const bool high_edge = end % kBlockBytes != 0 && view.present(end / kBlockBytes);
  if (low_edge || high_edge) check_edges(view, offset, end, inode.size);
  const std::uint64_t dropped =
      first < last ? kBlockBytes * count_present(view, ino, first, last) : 0;
  const std::uint64_t from = low_edge || first > last ? offset : first * kBlockBytes;
  const std::uint64_t to = high_edge || first > last ? end : last * kBlockBytes;
  if (from >= to || (dropped == 0 && !low_edge && !high_edge)) return;
  transaction.punch(ino, from, to - from);
  set_allocated(transaction, inode, inode.allocated - dropped);
}

void FileChange::share(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t region,
                       const RegionRecord* record) {
  head_.gate().assert_held();
  const bool spilled = is_inline_file(inode);
  spill(transaction, ino, inode);
  const std::uint64_t first = region * kBlocksPerRegion;
  FileView view(head_, ino);
  std::uint64_t before = *view.count_present(first, first + kBlocksPerRegion, kNoBudget);
  if (spilled) before = region == 0 ? 1 : 0;
  if (record != nullptr) {
    transaction.share(ino, region, *record);
  } else {
    transaction.punch(ino, region * kRegionBytes, kRegionBytes);
  }
  const std::uint64_t after = record == nullptr ? 0 : record->allocated();
  set_allocated(transaction, inode, inode.allocated - before * kBlockBytes + after);
  inode.size = std::max(inode.size, (region + 1) * kRegionBytes);
}

}  // namespace varve
