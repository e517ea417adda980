// SPDX-License-Identifier: Apache-2.0
#include "store/journal_writer.h"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {

namespace {

/// Buffers above this are given back after use.
constexpr std::size_t kBufferBytesKept = 1 << 20;
constexpr std::uint64_t kFragmentBytesMax = 1 << 20;
constexpr std::uint64_t kRewriteBytes = 1 << 20;

/// Kept for marks, so that a checkpoint can always free a full ring.
constexpr std::uint64_t kMarkBytes = 2 * kJournalBlockBytes;

/// Files that the ring may have. One that is full at open gets one more: recovery and the commit
/// that frees it must find room, however often the process died before they could.
std::uint32_t files_allowed(const JournalLayout& layout, const JournalWriter::Position& position,
                            std::uint32_t files_max) {
  const std::uint64_t used =
      position.end_lsn -
      std::min(position.end_lsn, layout.base_of(layout.span_of(position.start_lsn)));
  const std::uint64_t needed = used + layout.file_bytes / 2;
  const std::uint64_t files = (needed + layout.file_bytes - 1) / layout.file_bytes;
  return std::max(files_max, static_cast<std::uint32_t>(files));
}

}  // namespace

JournalWriter::JournalWriter(Disk& disk, JournalRing ring, const Options& options,
                             const Position& position)
    : disk_(disk),
      options_(options),
      config_(ring.config()),
      layout_(ring.layout()),
      seed_(journal_seed(config_.store_id)),
      epoch_(position.epoch),
      files_max_(files_allowed(layout_, position, options.files_max)),
      ring_(std::move(ring)),
      start_(position.start_lsn),
      next_(round_up(position.end_lsn, kJournalBlockBytes)),
      last_end_(position.end_lsn),
      content_end_(position.end_lsn),
      marks_(position.marks.begin(), position.marks.end()) {
  VARVE_CHECK(options_.files_max >= 2);
  {
    const MutexLock lock(mutex_);
    ring_.drop_misfits(disk_);
    ring_.keep_only(layout_.span_of(start_), layout_.span_of(last_end_ == 0 ? 0 : last_end_ - 1));
    // What a scan accepted may be in the page cache only, in any file.
    for (const JournalRing::Slot& slot : ring_.slots()) {
      if (slot.span) touch(slot.file.get());
    }
    const Lsn known = std::max(position.durable_lsn, start_);
    rewrite(round_up(known, kJournalBlockBytes), last_end_);
    update_figures();
  }
  grower_ = std::thread([this] { grow_loop(); });
  try {
    const Lsn mark = flush_with_mark();
    const MutexLock lock(mutex_);
    first_mark_ = mark;
    if (position.start_lsn == position.end_lsn) start_ = mark;  // nothing was there before
    update_figures();
  } catch (...) {
    stop_growing();
    throw;
  }
}

JournalWriter::~JournalWriter() { stop_growing(); }

// ---- appending ----------------------------------------------------------------------------------

Lsn JournalWriter::append(JournalType type, std::initializer_list<ByteView> parts) {
  const MutexLock lock(mutex_);
  // Scans begin at marks: without any for long, a trim would find no place to begin.
  if (next_ - (marks_.empty() ? start_ : marks_.back()) > layout_.file_bytes / 16) mark_if_room();
  const Lsn lsn = append_one(type, 0, parts);
  content_end_ = last_end_;
  return lsn;
}

Lsn JournalWriter::append_split(JournalType type, ByteView payload) {
  const std::uint64_t fragment = fragment_bytes();
  Lsn first = 0;
  do {
    const ByteView part = payload.first(std::min<std::size_t>(payload.size(), fragment));
    payload = payload.subspan(part.size());
    unsigned flags = payload.empty() ? 0u : JournalRecordHeader::kMore;
    if (first != 0) flags |= JournalRecordHeader::kContinued;
    const MutexLock lock(mutex_);
    const Lsn lsn = append_one(type, static_cast<std::uint8_t>(flags), {part});
    content_end_ = last_end_;
    if (first == 0) first = lsn;
  } while (!payload.empty());
  return first;
}

std::uint64_t JournalWriter::fragment_bytes() const {
  return std::min(kFragmentBytesMax, layout_.file_bytes / 4 - kJournalRecordHeaderBytes);
}

Lsn JournalWriter::append_one(JournalType type, std::uint8_t flags,
                              std::initializer_list<ByteView> parts) {
  std::uint64_t payload_bytes = 0;
  for (const ByteView part : parts) payload_bytes += part.size();
  if (payload_bytes > layout_.payload_bytes_max()) {
    throw StoreError(EFBIG, "journal: a record of " + std::to_string(payload_bytes) +
                                " bytes is larger than a journal file");
  }
  const Place place = make_place(type, JournalRecordHeader::record_bytes(payload_bytes));
  JournalRecordHeader header;
  header.payload_bytes = static_cast<std::uint32_t>(payload_bytes);
  header.lsn = place.lsn;
  header.durable_lsn = durable_;
  header.epoch = epoch_;
  header.gap_bytes = static_cast<std::uint32_t>(place.lsn - last_end_);
  header.type = type;
  header.flags = flags;
  write_record(place, header, parts);
  return place.lsn;
}

JournalWriter::Place JournalWriter::make_place(JournalType type, std::uint64_t record_bytes) {
  for (;;) {
    check_usable();
    const Lsn lsn = layout_.place(next_, record_bytes);
    if (lsn + record_bytes > limit(type)) {
      throw StoreError(ENOSPC, config_.directory + ": the journal is full");
    }
    File* file = file_for(layout_.span_of(lsn));
    if (file != nullptr) return {lsn, file};
    // No file is free: the one thread that makes files was not fast enough, or could not.
    const std::uint64_t attempts = grow_attempts_;
    file_wanted_ = true;
    grow_.notify_one();
    while (!stopping_ && poison_.empty() && grow_attempts_ == attempts) grown_.wait(mutex_);
    VARVE_CHECK(!stopping_);
    if (!ring_.has_free() && growth_failed_) {
      throw StoreError(ENOSPC, config_.directory + ": the journal is full and cannot grow");
    }
  }
}

File* JournalWriter::file_for(std::uint64_t span) {
  if (File* file = ring_.file_of(span)) return file;
  try {
    File* file = ring_.assign(span, epoch_);
    if (file != nullptr) touch(file);
    return file;
  } catch (const Error& error) {
    poison_locked(error.what());
    throw;
  }
}

void JournalWriter::write_record(const Place& place, JournalRecordHeader header,
                                 std::initializer_list<ByteView> parts) {
  buffer_.resize(kJournalRecordHeaderBytes + header.payload_bytes);
  std::size_t at = kJournalRecordHeaderBytes;
  for (const ByteView part : parts) {
    if (!part.empty()) std::memcpy(buffer_.data() + at, part.data(), part.size());
    at += part.size();
  }
  header.seal(buffer_, seed_);
  fill_block(layout_.offset_of(place.lsn));
  try {
    place.file->write_at(layout_.offset_of(place.lsn), buffer_);
  } catch (const Error& error) {
    // Part of the record may be there: what follows it could not be read.
    poison_locked(error.what());
    throw StoreError(EIO, error.what());
  }
  touch(place.file);
  appended_bytes_ += header.end_lsn() - last_end_;
  next_ = last_end_ = header.end_lsn();
  if (header.type == JournalType::kMark) marks_.push_back(header.lsn);
  if (buffer_.size() > kBufferBytesKept) Bytes().swap(buffer_);
  update_figures();
  if (wants_file()) grow_.notify_one();
}

/// Lets a record that reaches into a new block write all of it: a part would have the host read the
/// block's old bytes first, if they are not in its page cache.
void JournalWriter::fill_block(std::uint64_t offset) {
  const std::uint64_t end = offset + buffer_.size();
  const std::uint64_t block_begin = end / kJournalBlockBytes * kJournalBlockBytes;
  if (end == block_begin || offset > block_begin) return;
  buffer_.resize(block_begin + kJournalBlockBytes - offset);
}

void JournalWriter::touch(File* file) {
  if (std::find(unflushed_.begin(), unflushed_.end(), file) == unflushed_.end()) {
    unflushed_.push_back(file);
  }
}

void JournalWriter::rewrite(Lsn begin, Lsn end) {
  Bytes bytes;
  while (begin < end) {
    const Lsn span_end = layout_.base_of(layout_.span_of(begin) + 1);
    const std::uint64_t size = std::min({end - begin, span_end - begin, kRewriteBytes});
    if (File* file = ring_.file_of(layout_.span_of(begin))) {
      bytes.resize(static_cast<std::size_t>(size));
      bytes.resize(file->read_at(layout_.offset_of(begin), bytes));
      file->write_at(layout_.offset_of(begin), bytes);
    }
    begin += size;
  }
}

Lsn JournalWriter::limit(JournalType type) const {
  const std::uint64_t capacity = capacity_bytes();
  const Lsn end = layout_.base_of(layout_.span_of(start_)) + capacity;
  switch (type) {
    case JournalType::kMark:
      return end;
    case JournalType::kCommit:
      return end - kMarkBytes;
    case JournalType::kOperation:
    case JournalType::kSnapshot:
      break;
  }
  return end - kMarkBytes - capacity / 8;
}

// ---- flushing -----------------------------------------------------------------------------------

void JournalWriter::flush() {
  const MutexLock lock(mutex_);
  flush_to(content_end_);
}

Lsn JournalWriter::flush_with_mark() {
  const MutexLock lock(mutex_);
  const Lsn mark = append_one(JournalType::kMark, 0, {});
  content_end_ = last_end_;
  flush_to(content_end_);
  return mark;
}

void JournalWriter::flush_to(Lsn target) {
  for (;;) {
    check_usable();
    if (durable_ >= target) return;
    if (!flushing_) break;
    flushed_.wait(mutex_);
  }
  const Flush flush = begin_flush();
  mutex_.unlock();
  std::string failure;
  try {
    sync_files(flush);
  } catch (const Error& error) {
    failure = error.what();
  }
  mutex_.lock();
  flushing_ = false;
  device_flushes_ += flush.files.size();
  flushed_.notify_all();
  if (!failure.empty()) poison_locked(failure);
  check_usable();
  durable_ = flush.upto;
  mark_if_room();
}

JournalWriter::Flush JournalWriter::begin_flush() {
  flushing_ = true;
  // Records that come while the device works must not share a block with those it writes.
  next_ = round_up(last_end_, kJournalBlockBytes);
  return {last_end_, std::exchange(unflushed_, {})};
}

void JournalWriter::sync_files(const Flush& flush) {
  for (File* file : flush.files) file->sync();
}

void JournalWriter::mark_if_room() {
  try {
    const std::uint64_t bytes = JournalRecordHeader::record_bytes(0);
    const Lsn lsn = layout_.place(next_, bytes);
    // Only a help for later scans: never worth a new file.
    if (ring_.file_of(layout_.span_of(lsn)) == nullptr) return;
    append_one(JournalType::kMark, 0, {});
  } catch (const Error& error) {
    // The flush itself has succeeded. A failed write has poisoned the journal: later calls say so.
    log_error("journal", error.what());
  }
}

// ---- state --------------------------------------------------------------------------------------

Lsn JournalWriter::end() const {
  const MutexLock lock(mutex_);
  return next_;
}

Lsn JournalWriter::first_mark() const {
  const MutexLock lock(mutex_);
  return first_mark_;
}

Lsn JournalWriter::durable() const {
  const MutexLock lock(mutex_);
  return durable_;
}

Lsn JournalWriter::mark_before(Lsn lsn) const {
  const MutexLock lock(mutex_);
  const auto after = std::upper_bound(marks_.begin(), marks_.end(), lsn);
  return after == marks_.begin() ? start_ : *(after - 1);
}

void JournalWriter::trim(Lsn start_lsn) {
  const MutexLock lock(mutex_);
  VARVE_CHECK(start_lsn >= start_ && start_lsn <= last_end_);
  start_ = start_lsn;
  ring_.keep_only(layout_.span_of(start_), layout_.span_of(last_end_ - 1));
  while (!marks_.empty() && marks_.front() < start_) marks_.pop_front();
  growth_failed_ = false;
  update_figures();
  grown_.notify_all();  // perhaps a file is free now
}

std::uint64_t JournalWriter::appended_bytes() const {
  const MutexLock lock(mutex_);
  return appended_bytes_;
}

std::uint64_t JournalWriter::device_flushes() const {
  const MutexLock lock(mutex_);
  return device_flushes_;
}

bool JournalWriter::has_room(std::uint64_t payload_bytes) const {
  const MutexLock lock(mutex_);
  Lsn at = next_;
  for (std::uint64_t left = payload_bytes; left > 0;) {
    const std::uint64_t part = std::min(left, fragment_bytes());
    const std::uint64_t bytes = JournalRecordHeader::record_bytes(part);
    at = layout_.place(at, bytes) + bytes;
    left -= part;
  }
  return at + kJournalBlockBytes <= limit(JournalType::kCommit);  // a flush may align it meanwhile
}

bool JournalWriter::poisoned() const {
  const MutexLock lock(mutex_);
  return !poison_.empty();
}

void JournalWriter::poison(const std::string& why) {
  const MutexLock lock(mutex_);
  poison_locked(why);
}

void JournalWriter::poison_locked(const std::string& why) {
  if (!poison_.empty()) return;
  poison_ = why;
  log_error("journal", why + "; the store refuses changes from here on, reads go on");
  flushed_.notify_all();
  grown_.notify_all();
}

void JournalWriter::check_usable() const {
  if (poison_.empty()) return;
  throw StoreError(EIO, config_.directory + ": the journal stopped after a failure: " + poison_);
}

void JournalWriter::update_figures() {
  const std::uint64_t files =
      growth_failed_ ? ring_.size() : std::max<std::uint64_t>(ring_.size(), files_max_);
  capacity_bytes_.store(files * layout_.file_bytes, std::memory_order_relaxed);
  file_bytes_.store(ring_.size() * layout_.file_bytes, std::memory_order_relaxed);
  used_bytes_.store(last_end_ - std::min(last_end_, layout_.base_of(layout_.span_of(start_))),
                    std::memory_order_relaxed);
}

// ---- growing ------------------------------------------------------------------------------------

void JournalWriter::wait_for_file() {
  const MutexLock lock(mutex_);
  const auto nearly_full = [this] {
    mutex_.assert_held();
    return layout_.offset_of(last_end_) > layout_.file_bytes / 4 * 3;
  };
  while (!stopping_ && poison_.empty() && nearly_full() && wants_file()) {
    grow_.notify_one();
    grown_.wait(mutex_);
  }
}

bool JournalWriter::wants_file() const {
  if (ring_.has_free() || ring_.size() >= files_max_) return false;
  if (file_wanted_ || ring_.size() == 0) return true;
  return !growth_failed_ && layout_.offset_of(last_end_) > layout_.file_bytes / 2;
}

void JournalWriter::grow_loop() {
  pthread_setname_np(pthread_self(), "varve-jgrow");
  const MutexLock lock(mutex_);
  while (!stopping_) {
    if (wants_file() && poison_.empty()) {
      grow();
    } else {
      // An appender that waits although nothing can be done must look again.
      if (std::exchange(file_wanted_, false)) {
        ++grow_attempts_;
        grown_.notify_all();
      }
      grow_.wait(mutex_);
    }
  }
}

void JournalWriter::grow() {
  const std::uint64_t index = ring_.next_index();
  // Two files there must be. A further one takes no space that was promised: the reserve, and room
  // in segments for what the journal holds.
  const std::uint64_t promised_bytes =
      ring_.size() < 2 ? 0 : options_.reserve_bytes + (last_end_ - start_);
  mutex_.unlock();
  std::unique_ptr<File> file = create_file(config_, index, promised_bytes);
  mutex_.lock();
  growth_failed_ = file == nullptr;
  if (file) ring_.adopt(index, std::move(file));
  file_wanted_ = false;
  ++grow_attempts_;
  update_figures();
  grown_.notify_all();
}

std::unique_ptr<File> JournalWriter::create_file(const JournalRing::Config& config,
                                                 std::uint64_t index,
                                                 std::uint64_t promised_bytes) {
  try {
    const std::uint64_t wanted = config.layout.file_bytes + promised_bytes;
    if (promised_bytes > 0 && disk_.space(config.directory).free_bytes < wanted) {
      log_warn("journal", config.directory + ": no space to grow; commits come more often");
      return nullptr;
    }
    return JournalRing::create_file(disk_, config, index);
  } catch (const Error& error) {
    log_warn("journal", std::string("cannot grow: ") + error.what());
    return nullptr;
  }
}

void JournalWriter::stop_growing() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  grow_.notify_all();
  grown_.notify_all();
  if (grower_.joinable()) grower_.join();
}

}  // namespace varve
