// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>

#include "store/base/bytes.h"

namespace varve {

/// A place in the journal's endless stream of bytes; grows for ever, never reused.
using Lsn = std::uint64_t;

/// What a journal record means. kCommit and kMark belong to the store, the others to the layers
/// above, which give the payload its format (docs/format.md).
enum class JournalType : std::uint8_t {
  kMark = 1,       ///< says how far the stream is durable
  kCommit = 2,     ///< one Store::commit
  kOperation = 3,  ///< one operation on a head (fs)
  kSnapshot = 4,   ///< a snapshot's cut (fs)
};

struct JournalRecord {
  Lsn lsn = 0;      ///< where the record begins
  Lsn end_lsn = 0;  ///< just after it
  JournalType type = JournalType::kMark;
  ByteView payload;
};

/// The part of the journal that the layers above see. Safe to share between threads.
class JournalAppender {
 public:
  virtual ~JournalAppender() = default;

  /// Appends one record made of `parts`; on return it is in the page cache: it survives kill -9 of
  /// this process. Records of one thread keep their order. Never waits for the device. Throws
  /// StoreError: EIO after a failed sync, ENOSPC when the ring is full (see Store::admit).
  virtual Lsn append(JournalType type, std::initializer_list<ByteView> parts) = 0;
  /// Returns when everything appended before the call is durable. Concurrent callers share one
  /// flush of the device. Throws StoreError(EIO) when a flush failed, now or ever before.
  virtual void flush() = 0;
  /// Where the next record will begin.
  virtual Lsn end() const = 0;
};

}  // namespace varve
