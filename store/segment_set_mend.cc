// SPDX-License-Identifier: Apache-2.0
// What changes inside a segment that is sealed: a damaged header or footer is written anew, and
// dead runs become holes.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/segment_scan.h"
#include "store/segment_set.h"

namespace varve {

namespace {

/// What host file systems allocate in; a smaller part of a hole is not given back.
constexpr std::uint64_t kHostBlockBytes = 4096;

struct Run {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The whole host blocks between the records `keep`, from the header to the footer at `end`.
std::vector<Run> gaps_between(const std::vector<FooterEntry>& keep, std::uint64_t end,
                              std::uint64_t run_bytes) {
  std::vector<Run> out;
  std::uint64_t at = kSegmentHeaderBytes;
  const auto gap_to = [&](std::uint64_t next) {
    const std::uint64_t first = (at + kHostBlockBytes - 1) / kHostBlockBytes * kHostBlockBytes;
    const std::uint64_t last = next / kHostBlockBytes * kHostBlockBytes;
    if (first < last && last - first >= run_bytes) out.push_back({first, last});
  };
  for (const FooterEntry& entry : keep) {
    gap_to(entry.offset);
    at = entry.offset + record_bytes(entry.payload_bytes);
  }
  gap_to(end);
  return out;
}

bool is_unsupported(const StoreError& error) {
  return error.code() == EOPNOTSUPP || error.code() == ENOSYS || error.code() == ENOTTY ||
         error.code() == EINVAL;
}

}  // namespace

std::string SegmentSet::defect(SegmentId id) const {
  const std::optional<Info> info = find(id);
  if (!info || info->in_use) return {};
  const std::unique_ptr<File> file = disk_.open(path_of(id), Disk::Mode::kReadOnly);
  try {
    const bool has_footer = read_footer(*file, identity_of(id)).has_value();
    return has_footer || !info->sealed ? std::string() : "its footer is damaged";
  } catch (const StoreError& error) {
    if (error.code() != EIO) throw;
    return std::string("its header is damaged: ") + error.what();
  }
}

bool SegmentSet::mend(SegmentId id) {
  const std::unique_ptr<File> file = disk_.open(path_of(id), Disk::Mode::kReadWrite);
  try {
    read_segment_header(*file, identity_of(id));
  } catch (const CorruptionError&) {
    const std::vector<FooterEntry> entries = entries_of(*file, id);
    if (entries.empty()) return false;
    file->write_at(0, encode_segment_header(identity_of(id), {entries.front().mirror}));
    file->sync();
    flushes_.fetch_add(1, std::memory_order_relaxed);
  }
  return seal(id);
}

std::uint64_t SegmentSet::punch(SegmentId id, const std::vector<FooterEntry>& keep,
                                const PunchLimits& limits) {
  const std::optional<Info> info = find(id);
  if (!can_punch() || !info || info->in_use || !info->sealed) return 0;
  const std::unique_ptr<File> file = disk_.open(path_of(id), Disk::Mode::kReadWrite);
  const std::optional<FooterTrailer> trailer = read_trailer(*file, identity_of(id));
  if (!trailer) return 0;
  const std::vector<Run> gaps = gaps_between(keep, trailer->offset, limits.run_bytes);
  const Bytes footer = encode_footer(identity_of(id), trailer->offset, keep);
  std::uint64_t after = trailer->offset + footer.size();
  for (const Run& gap : gaps) after -= gap.end - gap.begin;
  if (after >= info->bytes || info->bytes - after < limits.from_bytes) return 0;
  // The footer first: a rebuild of the index must not take a hole for a record. A crash in between
  // leaves a file without a footer, whose records are found by scanning.
  file->write_at(trailer->offset, footer);
  file->truncate(trailer->offset + footer.size());
  file->sync();
  flushes_.fetch_add(1, std::memory_order_relaxed);
  try {
    for (const Run& gap : gaps) file->punch_hole(gap.begin, gap.end - gap.begin);
  } catch (const StoreError& error) {
    if (!is_unsupported(error)) throw;
    can_punch_.store(false);
    log_warn("segment", std::string("no holes on this file system: ") + error.what());
    return 0;
  }
  const MutexLock lock(mutex_);
  note_sealed(id, after);
  return info->bytes - after;
}

}  // namespace varve
