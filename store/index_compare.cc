// SPDX-License-Identifier: Apache-2.0
#include "store/index_compare.h"

#include <algorithm>
#include <cerrno>

#include "store/base/error.h"

namespace varve {

namespace {

/// Records that one pass over the footers keeps in memory, about 100 bytes each.
constexpr std::uint64_t kRecordsPerPass = 1'000'000;
constexpr std::size_t kRowsPerQuery = 8192;

std::string place_text(const Location& place) {
  return "byte " + std::to_string(place.offset) + " of " + segment_file_name(place.segment);
}

}  // namespace

std::uint64_t IndexCompare::run() {
  const std::uint64_t passes = DigestRange::passes_for(index_.figures().objects, kRecordsPerPass);
  for (std::uint64_t pass = 0; pass < passes; ++pass) {
    const DigestRange range(pass, passes);
    Records records;
    read_footers(range, records);
    std::optional<Digest> after = range.before();
    for (bool more = true; more;) {
      const std::vector<LiveObject> rows = index_.all_after(after, kRowsPerQuery);
      more = !rows.empty() && !range.ends_before(rows.back().digest);
      for (const LiveObject& row : rows) {
        if (range.contains(row.digest)) compare(row, records);
      }
      if (!rows.empty()) after = rows.back().digest;
    }
  }
  compare_totals();
  return objects_;
}

void IndexCompare::read_footers(const DigestRange& range, Records& out) {
  for (const SegmentSet::Info& info : segments_.list()) {
    try {
      segments_.visit_records(info.id, [&](const FooterEntry& entry) {
        if (!range.contains(entry.digest)) return;
        out[entry.digest].push_back(
            Record{Location{info.id, entry.offset},
                   static_cast<std::uint32_t>(record_bytes(entry.payload_bytes)), entry.data_bytes,
                   entry.kind, entry.mirror});
      });
    } catch (const StoreError& error) {
      if (error.code() != EIO && error.code() != ENOENT) throw;
      if (range.is_first()) problem_(std::string("a segment cannot be read: ") + error.what());
    }
  }
}

void IndexCompare::compare(const LiveObject& row, const Records& records) {
  ++objects_;
  if (row.references > 0) referenced_bytes_ += row.stored_bytes();
  if (!row.placement.primary.present()) {
    problem_("object " + row.digest.hex() + " is lost: no segment holds it");
  }
  for (const Location& place : {row.placement.primary, row.placement.mirror}) {
    if (!place.present()) continue;
    live_bytes_[place.segment] += row.placement.stored_bytes;
    compare_copy(row, place, records);
  }
}

void IndexCompare::compare_copy(const LiveObject& row, const Location& place,
                                const Records& records) {
  const std::string name = "object " + row.digest.hex();
  const auto found = records.find(row.digest);
  const auto record = found == records.end()
                          ? std::vector<Record>::const_iterator{}
                          : std::find_if(found->second.begin(), found->second.end(),
                                         [&](const Record& each) { return each.place == place; });
  if (found == records.end() || record == found->second.end()) {
    problem_(name + ": the index says " + place_text(place) + ", where no record of it is");
    return;
  }
  const Placement& placement = row.placement;
  if (record->stored_bytes != placement.stored_bytes ||
      record->data_bytes != placement.data_bytes || record->kind != placement.kind) {
    problem_(name + ": the index has another size or kind than the record at " + place_text(place));
  }
}

void IndexCompare::compare_totals() {
  const Index::Figures figures = index_.figures();
  const auto total = [&](const std::string& what, std::uint64_t says, std::uint64_t is) {
    if (says == is) return;
    problem_("the index's total of " + what + " says " + std::to_string(says) + ", its rows say " +
             std::to_string(is));
  };
  total("objects", figures.objects, objects_);
  total("referenced bytes", figures.referenced_bytes, referenced_bytes_);
  std::map<SegmentId, std::uint64_t> says = index_.live_bytes();
  for (const auto& [id, bytes] : live_bytes_) says.try_emplace(id, 0);
  for (const auto& [id, bytes] : says) {
    const auto is = live_bytes_.find(id);
    total("bytes in " + segment_file_name(id), bytes, is == live_bytes_.end() ? 0 : is->second);
  }
}

}  // namespace varve
