// SPDX-License-Identifier: Apache-2.0
#include "fs/commit_builder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fs/parallel.h"
#include "fs/region_builder.h"

namespace varve {
namespace {

/// Regions that one thread builds in one go.
constexpr std::size_t kTaskRegions = 16;

}  // namespace

/// Some changed regions of one file, and what became of them.
struct CommitBuilder::Task {
  Ino ino{};
  const FileData* data = nullptr;
  std::uint64_t size = 0;
  std::vector<std::uint64_t> regions;
  std::vector<Change> changes;
};

std::vector<Change> CommitBuilder::build() {
  std::vector<Task> tasks;
  for (const auto& [ino, data] : input_.overlay.files()) add_tasks(ino, data, tasks);
  parallel_for(input_.threads, tasks.size(), [&](std::size_t index) { run(tasks[index]); });

  std::vector<Change> regions;
  for (Task& task : tasks) {
    std::move(task.changes.begin(), task.changes.end(), std::back_inserter(regions));
  }
  std::vector<Change> records;
  records.reserve(input_.overlay.records().size());
  for (const auto& [key, value] : input_.overlay.records()) {
    records.push_back({key, stored_value(key, value)});
  }
  std::vector<Change> out;
  out.reserve(regions.size() + records.size());
  std::merge(std::move_iterator(regions.begin()), std::move_iterator(regions.end()),
             std::move_iterator(records.begin()), std::move_iterator(records.end()),
             std::back_inserter(out),
             [](const Change& a, const Change& b) { return a.key < b.key; });
  return out;
}

/// The file's size with this generation; 0 once the inode is gone.
std::uint64_t CommitBuilder::size_of(Ino ino) const {
  const Key key{ino, Kind::kInode, 0};
  const Overlay::Value* changed = input_.overlay.find(key);
  const std::optional<Bytes> record =
      changed != nullptr ? *changed : input_.base.find(key, Wait::kAllowed);
  return record ? InodeRecord::decode(*record).size : 0;
}

std::vector<std::uint64_t> CommitBuilder::changed_regions(Ino ino, const FileData& data) const {
  std::vector<std::uint64_t> out;
  for (const auto& [block, bytes] : data.blocks()) {
    const std::uint64_t region = block / kBlocksPerRegion;
    if (out.empty() || out.back() != region) out.push_back(region);
  }
  for (const auto& [region, record] : data.shared()) out.push_back(region);
  const auto add_existing = [&](std::uint64_t first, std::uint64_t end) {
    input_.base.scan({ino, Kind::kRegion, first}, {ino, Kind::kRegion, end}, Wait::kAllowed,
                     [&](const Key& key, ByteView) {
                       out.push_back(key.sub);
                       return true;
                     });
  };
  for (const auto& [first, last] : data.holes()) {
    add_existing(first / kBlocksPerRegion, (last - 1) / kBlocksPerRegion + 1);
  }
  if (data.base_limit() != FileData::kNoLimit) {
    add_existing(data.base_limit() / kRegionBytes, FileData::kNoLimit);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  // What freeing an inode removes is removed: nothing is built for it.
  std::erase_if(out, [&](std::uint64_t region) {
    return input_.overlay.find({ino, Kind::kRegion, region}) != nullptr;
  });
  return out;
}

void CommitBuilder::add_tasks(Ino ino, const FileData& data, std::vector<Task>& tasks) const {
  const std::vector<std::uint64_t> regions = changed_regions(ino, data);
  if (regions.empty()) return;
  const std::uint64_t size = size_of(ino);
  for (std::size_t at = 0; at < regions.size(); at += kTaskRegions) {
    const std::size_t end = std::min(regions.size(), at + kTaskRegions);
    tasks.push_back({ino,
                     &data,
                     size,
                     {regions.begin() + static_cast<std::ptrdiff_t>(at),
                      regions.begin() + static_cast<std::ptrdiff_t>(end)},
                     {}});
  }
}

void CommitBuilder::run(Task& task) const {
  RegionBuilder builder({task.ino, task.size, *task.data, input_.base, input_.profile},
                        input_.objects, input_.batch, input_.txg);
  task.changes.reserve(task.regions.size());
  for (const std::uint64_t region : task.regions) {
    const std::optional<RegionRecord> record = builder.build(region);
    task.changes.push_back({{task.ino, Kind::kRegion, region},
                            record ? std::optional(record->encode()) : std::nullopt});
  }
}

/// The record with its long value as an object.
Overlay::Value CommitBuilder::stored_value(const Key& key, const Overlay::Value& value) const {
  if (!value || value->size() <= kInlineBytes) return value;
  if (key.kind == Kind::kInode) {
    InodeRecord inode = InodeRecord::decode(*value);
    store_long(inode.content);
    return inode.encode();
  }
  if (key.kind == Kind::kXattr) {
    XattrRecord xattr = XattrRecord::decode(*value);
    store_long(xattr.value);
    return xattr.encode();
  }
  return value;
}

void CommitBuilder::store_long(Blob& blob) const {
  if (!blob.is_inline() || blob.bytes().size() <= kInlineBytes) return;
  const ObjectsBatch::Stored stored = input_.batch.put(blob.bytes(), ObjectKind::kMetadata);
  blob.value = Ptr{stored.digest, stored.stored_bytes, stored.data_bytes, input_.txg};
}

}  // namespace varve
