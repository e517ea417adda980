// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "store/base/disk.h"
#include "store/base/mutex.h"
#include "store/segment_format.h"
#include "store/stored_record.h"

namespace varve {

/// A new segment file while records are appended to it. Places are handed out under a lock, bytes
/// are written outside it, so threads append to one file side by side. When it is full or closed,
/// the last write seals it with a footer. Safe to share between threads.
///
/// A failed write leaves a gap, or nothing if no later place was handed out; the writer stays
/// usable. A failed sync is final: all later ones throw EIO.
class SegmentWriter {
 public:
  /// Creates the file, which must not exist, and writes its header. When that throws the file is
  /// gone again, unless even that fails.
  SegmentWriter(Disk& disk, const std::string& path, const SegmentIdentity& identity, bool mirror,
                std::uint64_t limit_bytes);

  SegmentId id() const { return identity_.segment; }
  bool mirror() const { return mirror_; }

  /// A place for `bytes`, which must be filled with write(); empty if the segment is full or
  /// closed, which it stays from then on. The first record always fits.
  std::optional<std::uint64_t> reserve(std::uint64_t bytes);
  /// Gives `record` its final header and writes it at the reserved place. Throws StoreError.
  void write(std::uint64_t offset, StoredRecord& record);
  /// No more places. Seals the segment if no write is under way.
  void close();

  /// Makes all that was written before the call durable; free if it is so already.
  void sync();
  /// Whether the file's name in its directory is durable; kept here for the owner.
  std::atomic<bool>& name_durable() { return name_durable_; }
  /// Device flushes so far.
  std::uint64_t flushes() const { return flushes_.load(std::memory_order_relaxed); }

  /// The file's size once it is sealed; empty while it is not (also when sealing failed).
  std::optional<std::uint64_t> sealed_bytes() const;
  /// Bytes handed out so far.
  std::uint64_t bytes() const;
  std::shared_ptr<const File> file() const { return file_; }

 private:
  void finish(const FooterEntry* written, std::uint64_t offset, std::uint64_t bytes);
  void seal() REQUIRES(mutex_);

  const SegmentIdentity identity_;
  const bool mirror_;
  const std::uint64_t limit_bytes_;
  std::shared_ptr<File> file_;
  std::atomic<bool> name_durable_{false};
  std::atomic<std::uint64_t> flushes_{0};

  mutable Mutex mutex_;
  std::uint64_t end_ GUARDED_BY(mutex_) = kSegmentHeaderBytes;
  std::uint64_t in_flight_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::optional<std::uint64_t> sealed_bytes_ GUARDED_BY(mutex_);
  std::vector<FooterEntry> entries_ GUARDED_BY(mutex_);

  /// Counts finished writes, so that a sync knows whether there is anything to do.
  std::atomic<std::uint64_t> writes_{1};
  Mutex sync_mutex_;
  std::uint64_t synced_writes_ GUARDED_BY(sync_mutex_) = 0;
  bool sync_failed_ GUARDED_BY(sync_mutex_) = false;
};

}  // namespace varve
