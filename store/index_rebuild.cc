// SPDX-License-Identifier: Apache-2.0
#include "store/index_rebuild.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/index.h"
#include "store/index_database.h"

namespace varve {

namespace {

/// Objects that one pass over the footers keeps in memory, about 80 bytes each.
constexpr std::uint64_t kObjectsPerPass = 1'000'000;
/// Digests are split by their first two bytes.
constexpr std::uint32_t kPrefixes = 1 << 16;

struct Found {
  FooterEntry entry;
  SegmentId segment = 0;
};

std::uint32_t prefix_of(const Digest& digest) {
  return static_cast<std::uint32_t>(digest.bytes[0]) << 8 |
         static_cast<std::uint32_t>(digest.bytes[1]);
}

/// By digest; then first copies before second ones; then the newest first, because a fresh copy is
/// written when an older one is found damaged.
bool in_order(const Found& a, const Found& b) {
  if (a.entry.digest != b.entry.digest) return a.entry.digest < b.entry.digest;
  if (a.entry.mirror != b.entry.mirror) return b.entry.mirror;
  if (a.segment != b.segment) return a.segment > b.segment;
  return a.entry.offset > b.entry.offset;
}

bool is_intact(const SegmentSet& segments, const Found& found) {
  try {
    segments.read(found.entry.digest, Location{found.segment, found.entry.offset},
                  static_cast<std::uint32_t>(record_bytes(found.entry.payload_bytes)));
    return true;
  } catch (const StoreError& error) {
    if (error.code() != EIO) throw;
    return false;
  }
}

/// The newest record that is intact; the newest if none is. One that has no rival is not read: only
/// a footer that outlived its records in a power cut can name a bad copy beside a good one.
const Found& best(const SegmentSet& segments, const Found* begin, const Found* end) {
  if (end - begin == 1 || (end - begin == 2 && !begin->entry.mirror && begin[1].entry.mirror)) {
    return *begin;
  }
  const Found* found =
      std::find_if(begin, end, [&](const Found& each) { return is_intact(segments, each); });
  return found == end ? *begin : *found;
}

Placement placement_of(const SegmentSet& segments, const Found* begin, const Found* end) {
  const Found& chosen = best(segments, begin, end);
  const FooterEntry& first = chosen.entry;
  Placement placement;
  placement.primary = Location{chosen.segment, first.offset};
  placement.stored_bytes = static_cast<std::uint32_t>(record_bytes(first.payload_bytes));
  placement.data_bytes = first.data_bytes;
  placement.kind = first.kind;
  if (first.mirror) return placement;  // only second copies are left: one serves as the first
  for (const Found* found = begin; found != end; ++found) {
    const FooterEntry& entry = found->entry;
    if (!entry.mirror || entry.payload_bytes != first.payload_bytes) continue;
    placement.mirror = Location{found->segment, entry.offset};
    break;
  }
  return placement;
}

void add_objects(const SegmentSet& segments, std::vector<Found>& found, IndexBuilder& builder) {
  std::sort(found.begin(), found.end(), in_order);
  const Found* const end = found.data() + found.size();
  for (const Found* begin = found.data(); begin != end;) {
    const Found* next = begin;
    while (next != end && next->entry.digest == begin->entry.digest) ++next;
    builder.add(begin->entry.digest, placement_of(segments, begin, next));
    begin = next;
  }
}

/// Counts the records, and sets segments aside that cannot be read.
std::uint64_t count_records(SegmentSet& segments) {
  std::uint64_t count = 0;
  for (const SegmentSet::Info& info : segments.list()) {
    try {
      segments.visit_records(info.id, [&](const FooterEntry&) { ++count; });
    } catch (const StoreError& error) {
      if (error.code() != EIO) throw;
      if (info.bytes < kSegmentHeaderBytes) {
        segments.remove(info.id);  // a crash came before its header
        continue;
      }
      log_error("index", std::string("a segment is left out: ") + error.what());
      segments.set_aside(info.id);
    }
  }
  return count;
}

void build(Disk& disk, SegmentSet& segments, const std::string& path, const StoreId& store) {
  const std::uint64_t count = count_records(segments);
  const std::uint64_t passes = count / kObjectsPerPass + 1;
  IndexBuilder builder(disk, path, store);
  for (std::uint64_t pass = 0; pass < passes; ++pass) {
    const std::uint64_t first = kPrefixes * pass / passes;
    const std::uint64_t last = kPrefixes * (pass + 1) / passes;
    std::vector<Found> found;
    found.reserve(count / passes + count / passes / 16 + 64);
    for (const SegmentSet::Info& info : segments.list()) {
      segments.visit_records(info.id, [&](const FooterEntry& entry) {
        const std::uint32_t prefix = prefix_of(entry.digest);
        if (prefix >= first && prefix < last) found.push_back(Found{entry, info.id});
      });
    }
    add_objects(segments, found, builder);
  }
  builder.finish(segments.last_id());
}

std::string parent_directory(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

void remove_with_log(Disk& disk, const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) disk.remove(path + suffix);
}

/// The log goes before the file: one that stayed behind would be replayed into the new file.
void put_aside(Disk& disk, const std::string& path) {
  const std::string aside = path + ".damaged";
  remove_with_log(disk, aside);
  disk.remove(path + "-shm");
  for (const char* suffix : {"-wal", ""}) {
    if (disk.exists(path + suffix)) disk.rename(path + suffix, aside + suffix);
  }
  disk.sync_directory(parent_directory(path));
}

}  // namespace

void rebuild_index(Disk& disk, SegmentSet& segments, const std::string& path,
                   const StoreId& store) {
  const std::string fresh = path + ".rebuild";
  remove_with_log(disk, fresh);
  build(disk, segments, fresh, store);
  put_aside(disk, path);
  disk.rename(fresh, path);
  disk.remove(index_damage_mark(path));
  disk.sync_directory(parent_directory(path));
}

}  // namespace varve
