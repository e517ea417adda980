// SPDX-License-Identifier: Apache-2.0
#include "store/segment_scan.h"

#include <algorithm>

#include "store/base/error.h"
#include "store/checksum.h"

namespace varve {

namespace {

Bytes read_range(const File& file, std::uint64_t offset, std::uint64_t size) {
  Bytes bytes(static_cast<std::size_t>(size));
  bytes.resize(file.read_at(offset, bytes));
  return bytes;
}

/// Shows a file through a moving window, so that a scan reads each byte about once.
class Window {
 public:
  explicit Window(const File& file) : file_(file), file_bytes_(file.size()) {}

  std::uint64_t file_bytes() const { return file_bytes_; }

  /// Up to `size` bytes at `offset`, fewer at the end of the file; valid until the next call.
  ByteView at(std::uint64_t offset, std::size_t size) {
    const std::uint64_t end = std::min<std::uint64_t>(offset + size, file_bytes_);
    if (offset >= end) return {};
    if (offset < start_ || end > start_ + bytes_.size()) {
      start_ = offset;
      bytes_ = read_range(file_, offset, std::max<std::size_t>(size, kWindowBytes));
    }
    const std::size_t from = static_cast<std::size_t>(offset - start_);
    if (from >= bytes_.size()) return {};
    return ByteView(bytes_).subspan(from,
                                    std::min<std::size_t>(end - offset, bytes_.size() - from));
  }

 private:
  static constexpr std::size_t kWindowBytes = 1 << 20;
  const File& file_;
  const std::uint64_t file_bytes_;
  std::uint64_t start_ = 0;
  Bytes bytes_;
};

/// The record at `offset` if there is an intact one.
std::optional<FooterEntry> record_at(Window& window, const SegmentIdentity& identity,
                                     std::uint64_t offset) {
  const std::optional<RecordHeader> header =
      decode_record_header(identity, offset, window.at(offset, kRecordHeaderBytes));
  if (!header) return std::nullopt;
  const ByteView record = window.at(offset, kRecordHeaderBytes + header->payload_bytes);
  if (record.size() != kRecordHeaderBytes + header->payload_bytes) return std::nullopt;
  if (checksum_of(record.subspan(kRecordHeaderBytes)) != header->payload_checksum) {
    return std::nullopt;
  }
  return FooterEntry{header->digest,        static_cast<std::uint32_t>(offset),
                     header->payload_bytes, header->data_bytes,
                     header->kind,          header->mirror};
}

}  // namespace

SegmentHeader read_segment_header(const File& file, const SegmentIdentity& identity) {
  return decode_segment_header(identity, read_range(file, 0, kSegmentHeaderBytes));
}

std::optional<FooterTrailer> read_trailer(const File& file, const SegmentIdentity& identity) {
  const std::uint64_t size = file.size();
  if (size < kSegmentHeaderBytes + kFooterTrailerBytes) return std::nullopt;
  return decode_footer_trailer(identity, size,
                               read_range(file, size - kFooterTrailerBytes, kFooterTrailerBytes));
}

std::optional<std::vector<FooterEntry>> read_footer(const File& file,
                                                    const SegmentIdentity& identity,
                                                    SegmentHead head) {
  if (head == SegmentHead::kRequired) read_segment_header(file, identity);
  const std::optional<FooterTrailer> trailer = read_trailer(file, identity);
  if (!trailer) return std::nullopt;
  return decode_footer_entries(
      *trailer, read_range(file, trailer->offset, trailer->count * kFooterEntryBytes));
}

std::vector<FooterEntry> scan_records(const File& file, const SegmentIdentity& identity,
                                      SegmentHead head) {
  if (head == SegmentHead::kRequired) read_segment_header(file, identity);
  std::vector<FooterEntry> entries;
  Window window(file);
  std::uint64_t offset = kSegmentHeaderBytes;
  while (offset + kRecordHeaderBytes <= window.file_bytes()) {
    const std::optional<FooterEntry> entry = record_at(window, identity, offset);
    if (entry) entries.push_back(*entry);
    offset += entry ? record_bytes(entry->payload_bytes) : kRecordAlignment;
  }
  return entries;
}

}  // namespace varve
