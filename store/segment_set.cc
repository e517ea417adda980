// SPDX-License-Identifier: Apache-2.0
#include "store/segment_set.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/segment_scan.h"

namespace varve {

namespace {
/// In "bytes" of one each.
constexpr std::size_t kOpenFiles = 512;
}  // namespace

void SegmentHolds::add(const std::shared_ptr<SegmentWriter>& writer) {
  const MutexLock lock(mutex_);
  writers_.emplace(writer->id(), writer);
}

std::vector<std::shared_ptr<SegmentWriter>> SegmentHolds::writers() const {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<SegmentWriter>> out;
  for (const auto& [id, writer] : writers_) out.push_back(writer);
  return out;
}

SegmentSet::SegmentSet(Disk& disk, std::string directory, const StoreId& store,
                       std::uint64_t segment_bytes, const std::map<SegmentId, std::uint64_t>& known,
                       SegmentId id_floor)
    : disk_(disk),
      directory_(std::move(directory)),
      store_(store),
      segment_bytes_(segment_bytes),
      last_id_(id_floor),
      files_(kOpenFiles) {
  for (const std::string& name : disk_.list(directory_)) {
    const std::optional<SegmentId> id = parse_segment_file_name(name);
    if (!id) {
      log_warn("segment", "not a segment, left alone: " + directory_ + "/" + name);
      continue;
    }
    const auto size = known.find(*id);
    Segment segment;
    segment.sealed = size != known.end();
    segment.bytes =
        segment.sealed ? size->second : disk_.open(path_of(*id), Disk::Mode::kReadOnly)->size();
    segments_.emplace(*id, segment);
    last_id_ = std::max(last_id_, *id);
  }
}

std::uint64_t SegmentSet::free_bytes() const { return disk_.space(directory_).free_bytes; }

std::string SegmentSet::path_of(SegmentId id) const {
  return directory_ + "/" + segment_file_name(id);
}

// --- writing ---

void SegmentSet::refuse_after_failed_sync() const {
  if (sync_failed_.load()) throw StoreError(EIO, "segments: an earlier sync failed");
}

Location SegmentSet::append(SegmentStream stream, StoredRecord& record, SegmentHolds& holds) {
  refuse_after_failed_sync();
  for (;;) {
    const std::shared_ptr<SegmentWriter> writer = current(stream);
    const std::optional<std::uint64_t> offset = writer->reserve(record.bytes.size());
    if (!offset) {
      retire(stream, writer);
      continue;
    }
    holds.add(writer);
    writer->write(*offset, record);
    note_written(*writer);
    return Location{writer->id(), *offset};
  }
}

std::shared_ptr<SegmentWriter> SegmentSet::current(SegmentStream stream) {
  Stream& state = streams_[static_cast<std::size_t>(stream)];
  const MutexLock lock(state.mutex);
  if (state.writer) return state.writer;
  SegmentId id = 0;
  {
    const MutexLock set_lock(mutex_);
    id = ++last_id_;
  }
  state.writer = std::make_shared<SegmentWriter>(disk_, path_of(id), identity_of(id),
                                                 stream == SegmentStream::kMirror, segment_bytes_);
  const MutexLock set_lock(mutex_);
  segments_.emplace(id, Segment{state.writer->bytes(), false, state.writer});
  return state.writer;
}

void SegmentSet::retire(SegmentStream stream, const std::shared_ptr<SegmentWriter>& writer) {
  Stream& state = streams_[static_cast<std::size_t>(stream)];
  {
    const MutexLock lock(state.mutex);
    if (state.writer == writer) state.writer = nullptr;
  }
  note_written(*writer);
}

void SegmentSet::note_written(const SegmentWriter& writer) {
  const std::optional<std::uint64_t> sealed_bytes = writer.sealed_bytes();
  const std::uint64_t bytes = writer.bytes();
  const MutexLock lock(mutex_);
  Segment& segment = segments_.at(writer.id());
  segment.bytes = std::max(segment.bytes, bytes);
  if (sealed_bytes && !segment.sealed) note_sealed(writer.id(), *sealed_bytes);
}

void SegmentSet::note_sealed(SegmentId id, std::uint64_t bytes) {
  Segment& segment = segments_.at(id);
  segment.bytes = bytes;
  segment.sealed = true;
  newly_sealed_[id] = bytes;
}

std::map<SegmentId, std::uint64_t> SegmentSet::take_newly_sealed() {
  const MutexLock lock(mutex_);
  return std::exchange(newly_sealed_, {});
}

void SegmentSet::sync(const SegmentHolds& holds) {
  refuse_after_failed_sync();
  const std::vector<std::shared_ptr<SegmentWriter>> writers = holds.writers();
  try {
    for (const std::shared_ptr<SegmentWriter>& writer : writers) {
      const std::uint64_t before = writer->flushes();
      writer->sync();
      flushes_.fetch_add(writer->flushes() - before, std::memory_order_relaxed);
    }
    sync_names(writers);
  } catch (...) {
    sync_failed_.store(true);
    throw;
  }
}

void SegmentSet::sync_names(const std::vector<std::shared_ptr<SegmentWriter>>& writers) {
  const auto durable = [](const auto& writer) { return writer->name_durable().load(); };
  if (std::all_of(writers.begin(), writers.end(), durable)) return;
  const MutexLock lock(names_mutex_);
  if (std::all_of(writers.begin(), writers.end(), durable)) return;
  disk_.sync_directory(directory_);
  flushes_.fetch_add(1, std::memory_order_relaxed);
  for (const std::shared_ptr<SegmentWriter>& writer : writers) writer->name_durable().store(true);
}

void SegmentSet::close_streams() {
  SegmentHolds holds;
  for (Stream& state : streams_) {
    std::shared_ptr<SegmentWriter> writer;
    {
      const MutexLock lock(state.mutex);
      writer.swap(state.writer);
    }
    if (!writer) continue;
    writer->close();
    note_written(*writer);
    holds.add(writer);
  }
  sync(holds);
}

void SegmentSet::retire_if_idle(SegmentId id) {
  for (Stream& state : streams_) {
    std::shared_ptr<SegmentWriter> writer;
    {
      const MutexLock lock(state.mutex);
      // The only owner under the stream's lock: nobody can be about to append.
      if (!state.writer || state.writer->id() != id || state.writer.use_count() != 1) continue;
      writer.swap(state.writer);
    }
    writer->close();
    note_written(*writer);
  }
}

bool SegmentSet::seal(SegmentId id) {
  const std::unique_ptr<File> file = disk_.open(path_of(id), Disk::Mode::kReadWrite);
  std::uint64_t size = file->size();
  if (!read_footer(*file, identity_of(id))) {
    const std::vector<FooterEntry> entries = scan_records(*file, identity_of(id));
    // Behind everything that is there, so that not even a damaged record is overwritten.
    const std::uint64_t end = (size + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
    if (end > kMaxSegmentBytes + kMaxObjectBytes) return false;
    const Bytes footer = encode_footer(identity_of(id), end, entries);
    file->write_at(end, footer);
    file->sync();
    flushes_.fetch_add(1, std::memory_order_relaxed);
    size = end + footer.size();
  }
  const MutexLock lock(mutex_);
  note_sealed(id, size);
  return true;
}

// --- reading ---

std::shared_ptr<const File> SegmentSet::file_of(SegmentId id) const {
  if (std::shared_ptr<const File> file = files_.find(id)) return file;
  std::shared_ptr<SegmentWriter> writer;
  {
    const MutexLock lock(mutex_);
    const auto found = segments_.find(id);
    if (found == segments_.end()) {
      throw StoreError(ENOENT, path_of(id) + ": " + errno_text(ENOENT));
    }
    writer = found->second.writer.lock();
  }
  std::shared_ptr<const File> file =
      writer ? writer->file()
             : std::shared_ptr<const File>(disk_.open(path_of(id), Disk::Mode::kReadOnly));
  files_.insert(id, file, 1);
  // A file removed meanwhile must not be kept alive by the cache: its space would not come back.
  if (!find(id)) files_.erase(id);
  return file;
}

Bytes SegmentSet::read_raw(const Digest& digest, const Location& location,
                           std::uint32_t stored_bytes) const {
  const ByteView bytes = read_briefly(digest, location, stored_bytes);
  return Bytes(bytes.begin(), bytes.end());
}

/// Into memory of the thread, until its next call: a fresh buffer would be cleared first, and given
/// back to the system.
ByteView SegmentSet::read_briefly(const Digest& digest, const Location& location,
                                  std::uint32_t stored_bytes) const {
  const std::shared_ptr<const File> file = file_of(location.segment);
  if (stored_bytes < kRecordHeaderBytes || stored_bytes > record_bytes(kMaxObjectBytes)) {
    throw CorruptionError("object " + digest.hex() + ": impossible size in the index");
  }
  thread_local Bytes buffer;
  if (buffer.size() < stored_bytes) buffer.resize(stored_bytes);
  const std::span<std::byte> bytes(buffer.data(), stored_bytes);
  return bytes.first(file->read_at(location.offset, bytes));
}

Bytes SegmentSet::read(const Digest& digest, const Location& location, std::uint32_t stored_bytes,
                       Trust trust) const {
  return open_record(identity_of(location.segment), location.offset, digest,
                     read_briefly(digest, location, stored_bytes), trust);
}

std::optional<ByteView> SegmentSet::read_uncompressed(const Digest& digest,
                                                      const Location& location,
                                                      std::uint32_t stored_bytes,
                                                      Trust trust) const {
  return open_raw_record(identity_of(location.segment), location.offset, digest,
                         read_briefly(digest, location, stored_bytes), trust);
}

std::size_t SegmentSet::read_payload(const Location& location, std::uint64_t offset,
                                     std::span<std::byte> out) const {
  return file_of(location.segment)->read_at(location.offset + kRecordHeaderBytes + offset, out);
}

void SegmentSet::check(const Digest& digest, const Location& location,
                       std::uint32_t stored_bytes) const {
  check_record(identity_of(location.segment), location.offset, digest,
               read_briefly(digest, location, stored_bytes));
}

StoredRecord SegmentSet::read_record(const Digest& digest, const Location& location,
                                     std::uint32_t stored_bytes) const {
  const SegmentIdentity identity = identity_of(location.segment);
  StoredRecord record;
  record.bytes = read_raw(digest, location, stored_bytes);
  open_record(identity, location.offset, digest, record.bytes);
  record.header = *decode_record_header(identity, location.offset, record.bytes);
  record.bytes.resize(record_bytes(record.header.payload_bytes));
  return record;
}

std::vector<FooterEntry> SegmentSet::entries_of(const File& file, SegmentId id) const {
  try {
    const auto entries = read_footer(file, identity_of(id));
    return entries ? *entries : scan_records(file, identity_of(id));
  } catch (const CorruptionError& error) {
    auto entries = read_footer(file, identity_of(id), SegmentHead::kIgnored);
    if (!entries) entries = scan_records(file, identity_of(id), SegmentHead::kIgnored);
    if (entries->empty()) throw;
    log_error("segment", file.path() + ": its header is damaged: " + error.what());
    return *std::move(entries);
  }
}

void SegmentSet::visit_records(SegmentId id,
                               const std::function<void(const FooterEntry&)>& visit) const {
  const std::shared_ptr<const File> file = file_of(id);
  for (const FooterEntry& entry : entries_of(*file, id)) visit(entry);
}

// --- the files ---

std::vector<SegmentSet::Info> SegmentSet::list() const {
  const MutexLock lock(mutex_);
  std::vector<Info> out;
  out.reserve(segments_.size());
  for (const auto& [id, segment] : segments_) {
    out.push_back(Info{id, segment.bytes, segment.sealed, !segment.writer.expired()});
  }
  return out;
}

std::optional<SegmentSet::Info> SegmentSet::find(SegmentId id) const {
  const MutexLock lock(mutex_);
  const auto found = segments_.find(id);
  if (found == segments_.end()) return std::nullopt;
  const Segment& segment = found->second;
  return Info{id, segment.bytes, segment.sealed, !segment.writer.expired()};
}

std::uint64_t SegmentSet::remove(SegmentId id) {
  {
    const MutexLock lock(mutex_);
    const auto found = segments_.find(id);
    if (found == segments_.end() || !found->second.writer.expired()) return 0;
  }
  disk_.remove(path_of(id));
  std::uint64_t bytes = 0;
  {
    const MutexLock lock(mutex_);
    const auto found = segments_.find(id);
    bytes = found->second.bytes;
    segments_.erase(found);
    newly_sealed_.erase(id);
  }
  files_.erase(id);
  return bytes;
}

void SegmentSet::set_aside(SegmentId id) {
  disk_.rename(path_of(id), path_of(id) + ".damaged");
  {
    const MutexLock lock(mutex_);
    segments_.erase(id);
    newly_sealed_.erase(id);
  }
  files_.erase(id);
}

SegmentId SegmentSet::last_id() const {
  const MutexLock lock(mutex_);
  return last_id_;
}

std::uint64_t SegmentSet::total_bytes() const {
  const MutexLock lock(mutex_);
  std::uint64_t total = 0;
  for (const auto& [id, segment] : segments_) total += segment.bytes;
  return total;
}

std::uint64_t SegmentSet::flushes() const { return flushes_.load(std::memory_order_relaxed); }

}  // namespace varve
