// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "store/journal_format.h"
#include "store/journal_ring.h"

namespace varve {

/// What a scan must know; the superblock says it.
struct JournalScanRequest {
  Lsn start_lsn = 0;
  /// The journal must be readable to here, or it is damaged.
  Lsn durable_lsn = 0;
  /// Records of earlier writers are stale.
  std::uint32_t epoch_min = 0;
  /// The superblock says that nothing was appended since: no record at start_lsn is no damage.
  bool may_be_empty = false;
  /// The superblock is known to be the last that was written: nothing was acknowledged after it
  /// unless its writer, or the next one, said so in it. With may_be_empty nothing that was durable
  /// can lie behind the end of the chain, and nothing is searched there.
  bool superblock_is_latest = false;
  /// Keep the readable prefix of a damaged journal instead of throwing.
  bool drop_damaged = false;
  /// Take the end of the chain as it is: another scan has judged it.
  bool trusted = false;
};

/// What a scan found; where a writer goes on.
struct JournalScanResult {
  /// Just after the last good record; start_lsn (or, after dropping everything, a position that
  /// was never used) if there is none.
  Lsn end_lsn = 0;
  /// Some good record, or the superblock, says that all before this had been flushed.
  Lsn durable_lsn = 0;
  std::uint32_t epoch = 0;  ///< of the last good record, or epoch_min
  std::vector<Lsn> marks;   ///< where kMark records begin, in order
  bool any = false;         ///< there is a good record
  bool dropped = false;     ///< drop_damaged had something to drop
};

/// One good record, with what only the store needs of it. The payload is valid during the visit.
struct ScannedRecord {
  JournalRecord record;
  bool more = false;       ///< the payload goes on in the next record of this type
  bool continued = false;  ///< the payload goes on from the record of this type before it
};

/// Reads the records of a journal in order and decides what its end is: the end of what was
/// written, a tail that a crash tore, or damage to something that was durable. The rules are in
/// docs/format.md, section Journal. Throws CorruptionError for damage, StoreError for a disk that
/// does not read.
JournalScanResult scan_journal(const JournalRing& ring, const JournalScanRequest& request,
                               const std::function<void(const ScannedRecord&)>& visit);

}  // namespace varve
