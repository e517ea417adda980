// SPDX-License-Identifier: Apache-2.0
#include "store/segment_writer.h"

#include <algorithm>
#include <cerrno>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {

SegmentWriter::SegmentWriter(Disk& disk, const std::string& path, const SegmentIdentity& identity,
                             bool mirror, std::uint64_t limit_bytes)
    : identity_(identity),
      mirror_(mirror),
      limit_bytes_(std::min(limit_bytes, kMaxSegmentBytes)),
      file_(disk.open(path, Disk::Mode::kCreateNew)) {
  try {
    file_->write_at(0, encode_segment_header(identity_, SegmentHeader{mirror_}));
  } catch (const StoreError&) {
    try {
      disk.remove(path);
    } catch (const StoreError& error) {
      log_warn("segment", std::string("an empty file stays: ") + error.what());
    }
    throw;
  }
}

std::optional<std::uint64_t> SegmentWriter::reserve(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  if (closed_) return std::nullopt;
  const std::uint64_t footer = footer_bytes(entries_.size() + in_flight_ + 1);
  if (end_ != kSegmentHeaderBytes && end_ + bytes + footer > limit_bytes_) {
    closed_ = true;
    if (in_flight_ == 0) seal();
    return std::nullopt;
  }
  const std::uint64_t offset = end_;
  end_ += bytes;
  ++in_flight_;
  return offset;
}

void SegmentWriter::write(std::uint64_t offset, StoredRecord& record) {
  record.header.mirror = mirror_;
  encode_record_header(identity_, offset, record.header, record.bytes);
  try {
    file_->write_at(offset, record.bytes);
  } catch (...) {
    finish(nullptr, offset, record.bytes.size());
    throw;
  }
  const FooterEntry entry{record.header.digest,        static_cast<std::uint32_t>(offset),
                          record.header.payload_bytes, record.header.data_bytes,
                          record.header.kind,          mirror_};
  finish(&entry, offset, record.bytes.size());
}

void SegmentWriter::finish(const FooterEntry* written, std::uint64_t offset, std::uint64_t bytes) {
  // After the write and before the lock: a sync that begins later covers this write.
  writes_.fetch_add(1);
  const MutexLock lock(mutex_);
  --in_flight_;
  if (written != nullptr) {
    entries_.push_back(*written);
  } else if (end_ == offset + bytes) {
    end_ = offset;  // nothing follows: a full device must not make the file grow in vain
  }
  if (closed_ && in_flight_ == 0) seal();
}

void SegmentWriter::close() {
  const MutexLock lock(mutex_);
  if (closed_) return;
  closed_ = true;
  if (in_flight_ == 0) seal();
}

void SegmentWriter::seal() {
  // Under the lock: nobody else writes any more, and who asks for sealed_bytes() may wait.
  try {
    std::sort(entries_.begin(), entries_.end(),
              [](const FooterEntry& a, const FooterEntry& b) { return a.offset < b.offset; });
    const Bytes footer = encode_footer(identity_, end_, entries_);
    file_->write_at(end_, footer);
    // A failed write behind the end may have left bytes that would hide the footer.
    file_->truncate(end_ + footer.size());
    sealed_bytes_ = end_ + footer.size();
    writes_.fetch_add(1);
  } catch (const StoreError& error) {
    // Not needed for correctness: without a footer the records are found by scanning.
    log_warn("segment", std::string("left without a footer: ") + error.what());
  }
  entries_.clear();
  entries_.shrink_to_fit();
}

void SegmentWriter::sync() {
  const MutexLock lock(sync_mutex_);
  if (sync_failed_) {
    throw StoreError(EIO, file_->path() + ": an earlier sync failed");
  }
  const std::uint64_t writes = writes_.load();
  if (synced_writes_ == writes) return;
  try {
    file_->sync();
  } catch (...) {
    sync_failed_ = true;
    throw;
  }
  flushes_.fetch_add(1, std::memory_order_relaxed);
  synced_writes_ = writes;
}

std::optional<std::uint64_t> SegmentWriter::sealed_bytes() const {
  const MutexLock lock(mutex_);
  return sealed_bytes_;
}

std::uint64_t SegmentWriter::bytes() const {
  const MutexLock lock(mutex_);
  return sealed_bytes_.value_or(end_);
}

}  // namespace varve
