// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "store/base/bytes.h"
#include "store/journal_scan.h"
#include "store/store.h"

namespace varve {

/// The payload of a kCommit record: what Store::commit made durable. docs/format.md draws it.
struct CommitRecord {
  Csn csn = 0;
  Lsn replay_from = 0;
  Bytes root;
  Bytes delta;  ///< an encoded CommitDelta

  Bytes encode() const;
  /// Throws CorruptionError.
  static CommitRecord decode(ByteView payload);
};

/// Joins the journal records that one commit was split over.
class CommitJoiner {
 public:
  struct Joined {
    Lsn lsn = 0;  ///< of the first of them
    Bytes payload;
  };
  /// Takes the next kCommit record; gives the commit that it completes. A commit that never
  /// completes (a crash came between) is dropped when the next one begins.
  std::optional<Joined> add(const ScannedRecord& found);

 private:
  std::optional<Joined> pending_;
};

}  // namespace varve
