// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string>
#include <thread>
#include <vector>

#include "store/base/mutex.h"
#include "store/journal.h"
#include "store/journal_ring.h"
#include "store/journal_scan.h"

namespace varve {

/// Appends to the ring of journal files and flushes it for all its callers together. Owns the
/// files and one thread that makes new ones ahead of need. Safe to share between threads.
///
/// After a failed write or flush every append and flush throws StoreError(EIO), for ever: the
/// kernel may have dropped what it could not write, so asking again would be told that all is well.
class JournalWriter final : public JournalAppender {
 public:
  struct Options {
    std::uint32_t files_max = 2;
    /// Growth beyond two files leaves this much free on the host.
    std::uint64_t reserve_bytes = 0;
  };
  /// Where the stream begins and goes on.
  struct Position {
    Lsn start_lsn = 0;        ///< of the oldest record kept
    Lsn end_lsn = 0;          ///< of the last good record
    Lsn durable_lsn = 0;      ///< all before it is known to have been flushed
    std::uint32_t epoch = 0;  ///< of the records to come: higher than any before
    std::vector<Lsn> marks;   ///< of the records kept
  };

  /// Goes on at the block after `position.end_lsn` with a mark, flushed: all that a scan accepted
  /// is durable, and nothing stale can follow it. Throws StoreError.
  JournalWriter(Disk& disk, JournalRing ring, const Options& options, const Position& position);
  ~JournalWriter() override;

  Lsn append(JournalType type, std::initializer_list<ByteView> parts) override;
  void flush() override;
  Lsn end() const override;

  /// Appends `payload` as as many records as it takes; all but the last say that more follows.
  /// Only one caller at a time may use it for a type. Commit records may use the last eighth of
  /// the ring, which others may not.
  Lsn append_split(JournalType type, ByteView payload);
  /// Appends a mark, returns where it begins, and flushes even if nothing else was appended.
  Lsn flush_with_mark();

  /// The mark that the constructor wrote.
  Lsn first_mark() const;
  /// All before this position is durable.
  Lsn durable() const;
  /// The last mark that begins at or before `lsn`: a scan can begin there.
  Lsn mark_before(Lsn lsn) const;
  /// Lets the files before `start_lsn`, a mark, be used again. To be called when the superblock
  /// that says so is durable.
  void trim(Lsn start_lsn);

  /// From the oldest file kept to the end, in bytes. Needs no lock.
  std::uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  /// What the ring can hold when it has grown as far as it can. Needs no lock.
  std::uint64_t capacity_bytes() const { return capacity_bytes_.load(std::memory_order_relaxed); }
  /// What the files take on the host. Needs no lock.
  std::uint64_t file_bytes() const { return file_bytes_.load(std::memory_order_relaxed); }
  std::uint64_t appended_bytes() const;
  std::uint64_t device_flushes() const;
  /// Waits while the present file is nearly full, no other is free and one is being made. To be
  /// called without locks before an append, which then need not wait for a slow disk.
  void wait_for_file();
  /// True if append_split of so many bytes as a commit record cannot meet a full ring.
  bool has_room(std::uint64_t payload_bytes) const;
  /// True once a write or flush failed.
  bool poisoned() const;
  /// Makes every later append and flush throw, because of a failure elsewhere.
  void poison(const std::string& why);
  std::uint32_t epoch() const { return epoch_; }

 private:
  /// Where a record goes, found under the lock.
  struct Place {
    Lsn lsn = 0;
    File* file = nullptr;
  };
  struct Flush {
    Lsn upto = 0;
    std::vector<File*> files;
  };

  Lsn append_one(JournalType type, std::uint8_t flags, std::initializer_list<ByteView> parts)
      REQUIRES(mutex_);
  /// Largest payload of the records that append_split makes.
  std::uint64_t fragment_bytes() const;
  Place make_place(JournalType type, std::uint64_t record_bytes) REQUIRES(mutex_);
  File* file_for(std::uint64_t span) REQUIRES(mutex_);
  void write_record(const Place& place, JournalRecordHeader header,
                    std::initializer_list<ByteView> parts) REQUIRES(mutex_);
  void mark_if_room() REQUIRES(mutex_);
  void fill_block(std::uint64_t offset) REQUIRES(mutex_);
  void touch(File* file) REQUIRES(mutex_);
  /// Writes again what the stream holds from `begin` to `end`. After a failed flush the page cache
  /// can hold bytes that the disk does not and that no later flush would write.
  void rewrite(Lsn begin, Lsn end) REQUIRES(mutex_);
  Flush begin_flush() REQUIRES(mutex_);
  void sync_files(const Flush& flush) EXCLUDES(mutex_);
  void flush_to(Lsn target) REQUIRES(mutex_);
  void check_usable() const REQUIRES(mutex_);
  void poison_locked(const std::string& why) REQUIRES(mutex_);
  Lsn limit(JournalType type) const REQUIRES(mutex_);
  void update_figures() REQUIRES(mutex_);

  void grow_loop();
  bool wants_file() const REQUIRES(mutex_);
  void grow() REQUIRES(mutex_);
  std::unique_ptr<File> create_file(const JournalRing::Config& config, std::uint64_t index,
                                    std::uint64_t promised_bytes) EXCLUDES(mutex_);
  void stop_growing();

  Disk& disk_;
  const Options options_;
  const JournalRing::Config config_;
  const JournalLayout layout_;
  const std::uint64_t seed_;
  const std::uint32_t epoch_;
  const std::uint32_t files_max_;

  mutable Mutex mutex_;
  CondVar flushed_;  ///< a flush ended, or the journal is poisoned
  CondVar grow_;     ///< the thread may have work
  CondVar grown_;    ///< an attempt to grow ended
  JournalRing ring_ GUARDED_BY(mutex_);
  Lsn start_ GUARDED_BY(mutex_);        ///< of the oldest record kept
  Lsn next_ GUARDED_BY(mutex_);         ///< the next record begins here, if it fits
  Lsn last_end_ GUARDED_BY(mutex_);     ///< of the last record
  Lsn content_end_ GUARDED_BY(mutex_);  ///< of the last record that somebody may wait for
  Lsn durable_ GUARDED_BY(mutex_) = 0;
  Lsn first_mark_ GUARDED_BY(mutex_) = 0;
  std::deque<Lsn> marks_ GUARDED_BY(mutex_);
  std::vector<File*> unflushed_ GUARDED_BY(mutex_);  ///< in order of first write
  Bytes buffer_ GUARDED_BY(mutex_);
  std::string poison_ GUARDED_BY(mutex_);  ///< why, or empty
  bool flushing_ GUARDED_BY(mutex_) = false;
  bool file_wanted_ GUARDED_BY(mutex_) = false;    ///< an appender waits for a file
  bool growth_failed_ GUARDED_BY(mutex_) = false;  ///< since the last trim
  std::uint64_t grow_attempts_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::uint64_t appended_bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t device_flushes_ GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint64_t> used_bytes_{0};
  std::atomic<std::uint64_t> capacity_bytes_{0};
  std::atomic<std::uint64_t> file_bytes_{0};

  std::thread grower_;  ///< last: uses everything above
};

}  // namespace varve
