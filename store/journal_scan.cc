// SPDX-License-Identifier: Apache-2.0
#include "store/journal_scan.h"

#include <algorithm>
#include <array>
#include <string>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {

namespace {

constexpr std::uint64_t kWindowBytes = 1 << 20;

/// Reads pieces of journal files through one buffer.
class JournalWindow {
 public:
  /// `size` bytes of `file` at `offset`; empty if the file ends before. Valid until the next call.
  std::optional<ByteView> view(const File& file, std::uint64_t offset, std::uint64_t size,
                               std::uint64_t limit) {
    if (offset + size > limit) return std::nullopt;
    if (&file != file_ || offset < begin_ || offset + size > begin_ + buffer_.size()) {
      buffer_.resize(
          static_cast<std::size_t>(std::min(std::max(size, kWindowBytes), limit - offset)));
      buffer_.resize(file.read_at(offset, buffer_));
      file_ = &file;
      begin_ = offset;
    }
    if (offset + size > begin_ + buffer_.size()) return std::nullopt;
    return ByteView(buffer_).subspan(static_cast<std::size_t>(offset - begin_),
                                     static_cast<std::size_t>(size));
  }

  /// All that the buffer has from `offset` on, which is in it.
  ByteView from(std::uint64_t offset) const {
    return ByteView(buffer_).subspan(static_cast<std::size_t>(offset - begin_));
  }

 private:
  const File* file_ = nullptr;
  std::uint64_t begin_ = 0;
  Bytes buffer_;
};

struct FoundRecord {
  JournalRecordHeader header;
  ByteView payload;
};

/// Follows the chain of records, and searches for records beyond its end.
class Scanner {
 public:
  Scanner(const JournalRing& ring, const JournalScanRequest& request)
      : ring_(ring),
        request_(request),
        layout_(ring.layout()),
        seed_(journal_seed(ring.config().store_id)),
        epoch_(request.epoch_min) {}

  JournalScanResult run(const std::function<void(const ScannedRecord&)>& visit) {
    Lsn end = request_.start_lsn;
    result_.durable_lsn = request_.durable_lsn;
    bool any = false;
    for (;;) {
      const std::optional<FoundRecord> found = any ? next(end) : record_at(end, std::nullopt);
      if (!found) break;
      any = true;
      const JournalRecordHeader& header = found->header;
      epoch_ = header.epoch;
      end = header.end_lsn();
      result_.durable_lsn = std::max(result_.durable_lsn, header.durable_lsn);
      if (header.type == JournalType::kMark) result_.marks.push_back(header.lsn);
      visit({JournalRecord{header.lsn, end, header.type, found->payload},
             (header.flags & JournalRecordHeader::kMore) != 0,
             (header.flags & JournalRecordHeader::kContinued) != 0});
    }
    finish(any, end);
    return std::move(result_);
  }

 private:
  /// The record after `end`: there, at the next block if a flush came between, or in the next span.
  std::optional<FoundRecord> next(Lsn end) {
    const Lsn block = round_up(end, kJournalBlockBytes);
    const std::array<Lsn, 3> candidates = {layout_.place(end, kJournalRecordHeaderBytes),
                                           layout_.place(block, kJournalRecordHeaderBytes),
                                           next_span(end)};
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (i > 0 && candidates[i] <= candidates[i - 1]) continue;
      std::optional<FoundRecord> found = record_at(candidates[i], end);
      if (found) return found;
    }
    return std::nullopt;
  }

  /// Where the span after the one with the byte before `end` begins its records.
  Lsn next_span(Lsn end) const { return layout_.first_of(layout_.span_of(end - 1) + 1); }

  /// The good record at `lsn` whose predecessor ended at `previous_end` (if given).
  std::optional<FoundRecord> record_at(Lsn lsn, std::optional<Lsn> previous_end) {
    const std::uint64_t offset = layout_.offset_of(lsn);
    const File* file = ring_.file_of(layout_.span_of(lsn));
    if (file == nullptr || offset < kJournalFileHeaderBytes) return std::nullopt;
    const auto head = window_.view(*file, offset, kJournalRecordHeaderBytes, layout_.file_bytes);
    const auto header = head ? JournalRecordHeader::parse(*head) : std::nullopt;
    if (!header || header->lsn != lsn || header->epoch < epoch_) return std::nullopt;
    if (previous_end && lsn - *previous_end != header->gap_bytes) return std::nullopt;
    const std::uint64_t size = kJournalRecordHeaderBytes + std::uint64_t{header->payload_bytes};
    const auto record = window_.view(*file, offset, size, layout_.file_bytes);
    if (!record || !JournalRecordHeader::verify(*record, lsn, seed_)) return std::nullopt;
    return FoundRecord{*header, record->subspan(kJournalRecordHeaderBytes)};
  }

  void finish(bool any, Lsn end) {
    result_.end_lsn = end;
    result_.epoch = epoch_;
    result_.any = any;
    if (request_.trusted) return;
    if (!any && !request_.may_be_empty) {
      damaged("there is no record at its begin, position " + std::to_string(end), any);
    } else if (end < request_.durable_lsn) {
      damaged("the record at position " + std::to_string(end) + " is bad, and position " +
                  std::to_string(request_.durable_lsn) + " had been flushed",
              any);
    } else if (!request_.may_be_empty && !ring_.defect().empty()) {
      damaged(ring_.defect(), any);
    } else if (request_.may_be_empty && request_.superblock_is_latest) {
      return;
    } else if (const std::optional<JournalRecordHeader> later = evidence_after(end)) {
      damaged("the record at position " + std::to_string(end) + " is bad, and the record at " +
                  std::to_string(later->lsn) + " says that all before " +
                  std::to_string(later->durable_lsn) + " had been flushed",
              any);
    }
  }

  void damaged(const std::string& why, bool any) {
    const std::string what = ring_.config().directory + ": journal damaged: " + why;
    if (!request_.drop_damaged) {
      throw CorruptionError(what +
                            "; what follows was acknowledged and cannot be read. "
                            "`varve repair --drop-damaged-journal` drops what follows and opens "
                            "the store with what came before");
    }
    log_error("journal", what + "; dropped what follows, as asked");
    result_.dropped = true;
    if (!any) result_.end_lsn = never_used();
  }

  /// A record behind `bad` that was written when `bad` was durable already. Looks at every place
  /// where a record can begin, in every file, whatever the files' headers say.
  std::optional<JournalRecordHeader> evidence_after(Lsn bad) {
    for (const JournalRing::Slot& slot : ring_.slots()) {
      std::uint64_t at = kJournalFileHeaderBytes;
      while (window_.view(*slot.file, at, kJournalRecordHeaderBytes, layout_.file_bytes)) {
        const ByteView bytes = window_.from(at);
        const std::size_t skipped = JournalRecordHeader::find(bytes);
        at += skipped;
        if (bytes.size() - skipped < kJournalRecordHeaderBytes) continue;  // not all in the window
        const auto header = JournalRecordHeader::parse(bytes.subspan(skipped));
        if (header && is_evidence(*header, bad, at) && verified(*slot.file, at, *header)) {
          return header;
        }
        at += 8;
      }
    }
    return std::nullopt;
  }

  bool is_evidence(const JournalRecordHeader& header, Lsn bad, std::uint64_t offset) const {
    return header.lsn > bad && header.durable_lsn > bad && header.epoch >= epoch_ &&
           layout_.offset_of(header.lsn) == offset;
  }

  bool verified(const File& file, std::uint64_t offset, const JournalRecordHeader& header) {
    const std::uint64_t size = kJournalRecordHeaderBytes + std::uint64_t{header.payload_bytes};
    const auto record = window_.view(file, offset, size, layout_.file_bytes);
    return record && JournalRecordHeader::verify(*record, header.lsn, seed_);
  }

  /// The begin of a span behind all that this journal can ever have used.
  Lsn never_used() const {
    std::uint64_t span = layout_.span_of(std::max(request_.durable_lsn, request_.start_lsn));
    for (const JournalRing::Slot& slot : ring_.slots())
      span = std::max(span, slot.span.value_or(0));
    return layout_.base_of(span + 1 + ring_.size());
  }

  const JournalRing& ring_;
  const JournalScanRequest& request_;
  const JournalLayout layout_;
  const std::uint64_t seed_;
  std::uint32_t epoch_;
  JournalWindow window_;
  JournalScanResult result_;
};

}  // namespace

JournalScanResult scan_journal(const JournalRing& ring, const JournalScanRequest& request,
                               const std::function<void(const ScannedRecord&)>& visit) {
  return Scanner(ring, request).run(visit);
}

}  // namespace varve
