// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "store/journal_ring.h"
#include "store/journal_scan.h"
#include "store/local_objects.h"
#include "store/superblock.h"

namespace varve {

/// What a superblock and the journal after it say together: the state of the store.
struct RecoveredState {
  /// A commit record in the journal.
  struct Commit {
    Csn csn = 0;
    Lsn lsn = 0;
  };

  Csn csn = 0;
  Bytes root;
  Lsn replay_from = 0;
  std::vector<Commit> commits;  ///< consecutive, ascending
  Lsn last_operation_lsn = 0;   ///< of the last kOperation or kSnapshot; 0 if there is none
  Lsn start_lsn = 0;            ///< where the scan began
  JournalScanResult scan;
};

/// Scans the journal. Throws CorruptionError if it is damaged, unless `drop_damaged`. After an
/// orderly close (`superblock.clean` and `is_latest`) that reads one block, else every file.
RecoveredState recover_state(const JournalRing& ring, const Superblock& superblock, bool is_latest,
                             bool drop_damaged);

/// Brings the index of `objects` to the recovered commit: applies the commits that it misses, or
/// sets it aside when the journal does not hold them all or says something else.
void recover_objects(LocalObjects& objects, const JournalRing& ring, const RecoveredState& state);

/// Visits the operations and snapshots that are still to be replayed, in order.
void replay_records(const JournalRing& ring, const RecoveredState& state,
                    const std::function<void(const JournalRecord&)>& visit);

}  // namespace varve
