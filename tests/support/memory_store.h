// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "store/base/error.h"
#include "store/base/mutex.h"
#include "store/store.h"
#include "tests/support/memory_objects.h"

namespace varve::test {

/// A whole Store in memory, for tests of the layers above: the same contract, no disk, no threads.
/// Faults and crashes are asked for by the test. Safe to share between threads.
///
/// Stricter than the store: a release without its birth throws std::logic_error from commit, and
/// what was reclaimed cannot be read.
class MemoryStore : public Store, private JournalAppender, private ObjectCheck {
 public:
  enum class Cut {
    kKill,   ///< the process dies: every appended record survives
    kPower,  ///< the power goes: what was flushed survives
  };

  explicit MemoryStore(const StoreOptions& options = {})
      : options_(options), objects_(std::make_unique<MemoryObjects>()) {}

  /// The store that opens after a crash at this moment. This one goes on by itself and shares
  /// nothing with it, so its threads can be stopped at leisure.
  std::unique_ptr<MemoryStore> crash(Cut cut = Cut::kPower) const {
    auto out = std::make_unique<MemoryStore>(options_);
    const MutexLock lock(mutex_);
    const MutexLock out_lock(out->mutex_);
    out->objects_ = objects_->clone();
    for (const Record& record : records_) {
      if (cut == Cut::kKill || record.end_lsn <= durable_lsn_) out->records_.push_back(record);
    }
    out->trim_lsn_ = trim_lsn_;
    // A new open begins after everything that ever was, so that positions are never used twice.
    out->end_lsn_ = out->durable_lsn_ = (end_lsn_ + 4095) / 4096 * 4096;
    out->root_ = root_;
    out->csn_ = csn_;
    out->free_bytes_ = free_bytes_;
    out->needs_references_ = lose_index_ || needs_references_;
    if (lose_index_) out->objects_->set_references({});
    return out;
  }

  // ---- faults ---------------------------------------------------------------------------------

  /// The next flush (also the one of a commit) fails and turns the store read-only.
  void fail_next_flush() {
    const MutexLock lock(mutex_);
    fail_next_flush_ = true;
  }
  /// The next commit fails before its record: with ENOSPC the batch is dropped and the store stays
  /// usable, with anything else it turns read-only.
  void fail_next_commit(int code) {
    const MutexLock lock(mutex_);
    fail_next_commit_ = code;
  }
  /// What the host has left; admit refuses more. Empty: endless.
  void set_free_bytes(std::optional<std::uint64_t> bytes) {
    const MutexLock lock(mutex_);
    free_bytes_ = bytes;
  }
  /// The store that the next crash() gives has lost its index and asks for set_references.
  void lose_index() {
    const MutexLock lock(mutex_);
    lose_index_ = true;
  }
  /// Calls the on_pressure callback.
  void press() {
    std::function<void()> callback;
    {
      const MutexLock lock(mutex_);
      callback = pressure_;
    }
    if (callback) callback();
  }
  MemoryObjects& memory() { return *objects_; }
  /// The kOperation and kSnapshot records kept, in order: (type, payload).
  std::vector<std::pair<JournalType, Bytes>> records() const {
    const MutexLock lock(mutex_);
    std::vector<std::pair<JournalType, Bytes>> out;
    for (const Record& record : records_) out.emplace_back(record.type, record.payload);
    return out;
  }
  std::uint64_t flushes() const {
    const MutexLock lock(mutex_);
    return flushes_;
  }

  // ---- Store ----------------------------------------------------------------------------------

  void replay(const std::function<void(const JournalRecord&)>& visit) override {
    std::vector<Record> records;
    {
      const MutexLock lock(mutex_);
      if (replayed_ || appended_) throw std::logic_error("replay once, before the first append");
      replayed_ = true;
      records = records_;
    }
    for (const Record& record : records) {
      visit({record.lsn, record.end_lsn, record.type, record.payload});
    }
  }

  const std::string& path() const override { return path_; }
  std::array<std::byte, 16> id() const override {
    std::array<std::byte, 16> out;
    out.fill(std::byte{0x5a});
    return out;
  }
  Objects& objects() override { return *objects_; }
  JournalAppender& journal() override { return *this; }
  std::unique_ptr<ObjectsBatch> begin() override { return objects_->begin(); }

  Csn commit(std::unique_ptr<ObjectsBatch> batch, ByteView root, Lsn replay_from) override {
    if (root.size() > kMaxRootBytes) throw std::logic_error("the root is too long");
    const MutexLock lock(mutex_);
    check_writable();
    if (const int code = std::exchange(fail_next_commit_, 0); code != 0) {
      if (code != ENOSPC) read_only_ = true;
      throw StoreError(code, "commit: " + errno_text(code));
    }
    if (replay_from < trim_lsn_ || replay_from > end_lsn_) {
      throw std::logic_error("replay_from is outside of the journal");
    }
    flush_locked();
    objects_->commit(std::move(batch), csn_ + 1);
    ++csn_;
    root_.assign(root.begin(), root.end());
    trim_lsn_ = replay_from;
    std::erase_if(records_, [&](const Record& record) { return record.lsn < replay_from; });
    pressed_ = false;
    trimmed_.notify_all();
    return csn_;
  }
  Bytes root() const override {
    const MutexLock lock(mutex_);
    return root_;
  }
  Csn csn() const override {
    const MutexLock lock(mutex_);
    return csn_;
  }

  void admit(std::uint64_t bytes) override {
    const MutexLock lock(mutex_);
    while (!read_only_ && used() > capacity() / 4 * 3) trimmed_.wait(mutex_);
    check_writable();
    if (free_bytes_ && bytes > *free_bytes_) throw StoreError(ENOSPC, "the store is full");
  }
  void on_pressure(std::function<void()> callback) override {
    const MutexLock lock(mutex_);
    pressure_ = std::move(callback);
  }

  std::unique_ptr<ReadPin> pin() override {
    const MutexLock lock(mutex_);
    return std::make_unique<Pin>(*this, csn_);
  }
  std::unique_ptr<ReadPin> pin_at(Csn csn) override { return std::make_unique<Pin>(*this, csn); }
  Csn reclaim_horizon() const override {
    const MutexLock lock(mutex_);
    const MutexLock pins_lock(pins_mutex_);
    return pins_.empty() ? csn_ : std::min(csn_, *pins_.begin());
  }
  std::uint64_t reclaim() override {
    const Csn horizon = reclaim_horizon();
    const MutexLock lock(mutex_);
    return objects_->reclaim(horizon);
  }
  ReclaimRest reclaim_rest() const override { return ReclaimRest::kNothing; }

  StoreFigures figures() const override {
    const MutexLock lock(mutex_);
    StoreFigures out;
    out.live_bytes = out.segment_bytes = objects_->live_bytes();
    out.journal_bytes = used();
    out.journal_file_bytes = out.journal_capacity_bytes = capacity();
    out.free_bytes = free_bytes_.value_or(1ull << 40);
    out.total_bytes = 1ull << 40;
    out.objects = objects_->references().size();
    out.device_flushes = flushes_;
    out.journal_appended_bytes = appended_bytes_;
    out.object_reads = objects_->reads();
    out.csn = csn_;
    out.read_only = read_only_;
    return out;
  }

  bool needs_references() const override {
    const MutexLock lock(mutex_);
    return needs_references_;
  }
  void set_references(
      const std::function<void(const std::function<void(const Digest&)>&)>& count) override {
    std::map<Digest, std::uint64_t> counts;
    count([&](const Digest& digest) { ++counts[digest]; });
    objects_->set_references(counts);
    const MutexLock lock(mutex_);
    needs_references_ = false;
  }
  void visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit) override {
    for (const auto& [digest, count] : objects_->references()) visit(digest, count);
  }

  ObjectCheck& check() override { return *this; }
  std::vector<FileFinding> check_files() override { return {}; }
  std::string note() const override { return note_; }
  void set_note(const std::string& text) override { note_ = text; }
  void trim() override {}

  void close() override {
    const MutexLock lock(mutex_);
    if (!read_only_) flush_locked();
  }

 private:
  static constexpr std::uint64_t kHeaderBytes = 40;
  struct Record {
    Lsn lsn;
    Lsn end_lsn;
    JournalType type;
    Bytes payload;
  };

  class Pin : public ReadPin {
   public:
    Pin(MemoryStore& store, Csn csn) : store_(store), csn_(csn) {
      const MutexLock lock(store_.pins_mutex_);
      store_.pins_.insert(csn_);
    }
    ~Pin() override {
      const MutexLock lock(store_.pins_mutex_);
      store_.pins_.erase(store_.pins_.find(csn_));
    }
    Csn csn() const override { return csn_; }

   private:
    MemoryStore& store_;
    const Csn csn_;
  };

  // ---- ObjectCheck ----------------------------------------------------------------------------

  std::vector<LiveObject> live_after(const std::optional<Digest>& after,
                                     std::size_t limit) override {
    std::vector<LiveObject> out;
    for (const auto& [digest, count] : objects_->references()) {
      if (out.size() == limit) break;
      if (!after || digest > *after) out.push_back(live_of(digest, count));
    }
    return out;
  }
  std::optional<LiveObject> live(const Digest& digest) override {
    const std::uint64_t count = objects_->references(digest);
    return count == 0 ? std::nullopt : std::optional(live_of(digest, count));
  }
  ObjectHealth check(const Digest& digest) override {
    if (objects_->references(digest) == 0) return ObjectHealth::kGone;
    return objects_->is_damaged(digest) ? ObjectHealth::kBad : ObjectHealth::kSound;
  }
  std::vector<Digest> damaged() const override { return objects_->damaged(); }
  std::vector<RescuedObject> rescue(const std::vector<Digest>&) override { return {}; }
  std::vector<FileFinding> check_segments() override { return {}; }
  std::vector<FileFinding> check_index() override { return {}; }
  std::uint64_t compare_index(const std::function<void(const std::string&)>&) override {
    return objects_->references().size();
  }

  LiveObject live_of(const Digest& digest, std::uint64_t references) const {
    LiveObject out{digest, references, {}};
    out.placement.primary = {1, 64};
    out.placement.stored_bytes = static_cast<std::uint32_t>(objects_->stored_bytes(digest));
    return out;
  }

  // ---- JournalAppender ------------------------------------------------------------------------

  Lsn append(JournalType type, std::initializer_list<ByteView> parts) override {
    Bytes payload;
    for (const ByteView part : parts) payload.insert(payload.end(), part.begin(), part.end());
    std::function<void()> callback;
    Lsn lsn = 0;
    {
      const MutexLock lock(mutex_);
      check_writable();
      lsn = end_lsn_;
      const Lsn end = (lsn + kHeaderBytes + payload.size() + 7) / 8 * 8;
      if (end - trim_lsn_ > capacity()) throw StoreError(ENOSPC, "the journal is full");
      appended_ = true;
      appended_bytes_ += end - lsn;
      end_lsn_ = end;
      records_.push_back({lsn, end, type, std::move(payload)});
      if (used() > capacity() / 2 && !std::exchange(pressed_, true)) callback = pressure_;
    }
    if (callback) callback();
    return lsn;
  }
  void flush() override {
    const MutexLock lock(mutex_);
    check_writable();
    flush_locked();
  }
  Lsn end() const override {
    const MutexLock lock(mutex_);
    return end_lsn_;
  }

  void flush_locked() REQUIRES(mutex_) {
    if (std::exchange(fail_next_flush_, false)) {
      read_only_ = true;
      trimmed_.notify_all();
      throw StoreError(EIO, "journal: sync failed");
    }
    ++flushes_;
    durable_lsn_ = end_lsn_;
  }
  void check_writable() const REQUIRES(mutex_) {
    if (read_only_) throw StoreError(EIO, "the store is read-only after a failed sync");
  }
  std::uint64_t used() const REQUIRES(mutex_) { return end_lsn_ - trim_lsn_; }
  std::uint64_t capacity() const {
    return options_.journal_file_bytes * options_.journal_files_max;
  }

  const StoreOptions options_;
  const std::string path_ = "(memory)";
  std::string note_;
  mutable Mutex mutex_;
  mutable Mutex pins_mutex_ ACQUIRED_AFTER(mutex_);
  CondVar trimmed_;
  std::unique_ptr<MemoryObjects> objects_;
  std::multiset<Csn> pins_ GUARDED_BY(pins_mutex_);
  std::vector<Record> records_ GUARDED_BY(mutex_);
  Lsn trim_lsn_ GUARDED_BY(mutex_) = 4096;
  Lsn durable_lsn_ GUARDED_BY(mutex_) = 4096;
  Lsn end_lsn_ GUARDED_BY(mutex_) = 4096;
  Bytes root_ GUARDED_BY(mutex_);
  Csn csn_ GUARDED_BY(mutex_) = 0;
  std::function<void()> pressure_ GUARDED_BY(mutex_);
  std::optional<std::uint64_t> free_bytes_ GUARDED_BY(mutex_);
  std::uint64_t flushes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t appended_bytes_ GUARDED_BY(mutex_) = 0;
  int fail_next_commit_ GUARDED_BY(mutex_) = 0;
  bool fail_next_flush_ GUARDED_BY(mutex_) = false;
  bool lose_index_ GUARDED_BY(mutex_) = false;
  bool needs_references_ GUARDED_BY(mutex_) = false;
  bool read_only_ GUARDED_BY(mutex_) = false;
  bool pressed_ GUARDED_BY(mutex_) = false;
  bool replayed_ GUARDED_BY(mutex_) = false;
  bool appended_ GUARDED_BY(mutex_) = false;
};

}  // namespace varve::test
