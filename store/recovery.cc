// SPDX-License-Identifier: Apache-2.0
#include "store/recovery.h"

#include <algorithm>
#include <string>
#include <utility>

#include "store/base/error.h"
#include "store/commit_record.h"

namespace varve {

namespace {

void take_commit(RecoveredState& state, const CommitJoiner::Joined& joined) {
  CommitRecord commit = CommitRecord::decode(joined.payload);
  if (!state.commits.empty() && commit.csn != state.commits.back().csn + 1) {
    throw CorruptionError("journal: commit " + std::to_string(commit.csn) + " follows commit " +
                          std::to_string(state.commits.back().csn));
  }
  state.commits.push_back({commit.csn, joined.lsn});
  if (commit.csn <= state.csn) return;
  state.csn = commit.csn;
  state.root = std::move(commit.root);
  state.replay_from = commit.replay_from;
}

/// A scan of what recover_state has accepted, from the last mark at or before `wanted`.
JournalScanRequest again(const RecoveredState& state, Lsn wanted) {
  JournalScanRequest request;
  const std::vector<Lsn>& marks = state.scan.marks;
  const auto after = std::upper_bound(marks.begin(), marks.end(), wanted);
  request.start_lsn = after == marks.begin() ? state.start_lsn : *(after - 1);
  request.may_be_empty = true;
  request.trusted = true;
  return request;
}

/// Why the index cannot be brought up to date from the journal; empty if it can.
std::string why_useless(Csn applied, const RecoveredState& state) {
  if (applied > state.csn) {
    return "it holds commit " + std::to_string(applied) + ", and the journal ends with commit " +
           std::to_string(state.csn);
  }
  if (applied == state.csn) return {};
  if (!state.commits.empty() && state.commits.front().csn <= applied + 1 &&
      state.commits.back().csn == state.csn) {
    return {};
  }
  return "it ends with commit " + std::to_string(applied) +
         ", and the journal has forgotten the next";
}

void apply_commits(LocalObjects& objects, const JournalRing& ring, const RecoveredState& state,
                   Csn applied) {
  const auto first = std::find_if(state.commits.begin(), state.commits.end(),
                                  [&](const auto& commit) { return commit.csn > applied; });
  if (first == state.commits.end()) return;
  CommitJoiner joiner;
  scan_journal(ring, again(state, first->lsn), [&](const ScannedRecord& found) {
    if (found.record.type != JournalType::kCommit) return;
    const auto joined = joiner.add(found);
    if (!joined) return;
    const CommitRecord commit = CommitRecord::decode(joined->payload);
    if (commit.csn > applied) objects.apply(CommitDelta::decode(commit.delta));
  });
}

}  // namespace

RecoveredState recover_state(const JournalRing& ring, const Superblock& superblock, bool is_latest,
                             bool drop_damaged) {
  RecoveredState state;
  state.csn = superblock.csn;
  state.root = superblock.root;
  state.replay_from = superblock.replay_from;
  state.start_lsn = superblock.journal_start_lsn;

  JournalScanRequest request;
  request.start_lsn = superblock.journal_start_lsn;
  request.drop_damaged = drop_damaged;
  if (superblock.clean) {
    // Later writers may have been here all the same, if the superblock they wrote is damaged. A
    // writer acknowledges nothing before its superblock is durable.
    request.may_be_empty = true;
    request.superblock_is_latest = is_latest;
    request.epoch_min = superblock.journal_epoch + 1;
  } else {
    request.durable_lsn = superblock.durable_lsn;
  }
  CommitJoiner joiner;
  state.scan = scan_journal(ring, request, [&](const ScannedRecord& found) {
    switch (found.record.type) {
      case JournalType::kMark:
        break;
      case JournalType::kCommit:
        if (const auto joined = joiner.add(found)) take_commit(state, *joined);
        break;
      case JournalType::kOperation:
      case JournalType::kSnapshot:
        state.last_operation_lsn = found.record.lsn;
        break;
    }
  });
  return state;
}

void recover_objects(LocalObjects& objects, const JournalRing& ring, const RecoveredState& state) {
  if (!objects.needs_references()) {
    const Csn applied = objects.applied_csn();
    const std::string useless = why_useless(applied, state);
    if (!useless.empty()) {
      objects.rebuild_index(useless);
    } else {
      try {
        apply_commits(objects, ring, state, applied);
      } catch (const CorruptionError& error) {
        objects.rebuild_index(error.what());
      }
    }
  }
  objects.finish_recovery(state.csn);
}

void replay_records(const JournalRing& ring, const RecoveredState& state,
                    const std::function<void(const JournalRecord&)>& visit) {
  if (state.last_operation_lsn < state.replay_from || state.last_operation_lsn == 0) return;
  scan_journal(ring, again(state, state.replay_from), [&](const ScannedRecord& found) {
    const JournalType type = found.record.type;
    const bool wanted = type == JournalType::kOperation || type == JournalType::kSnapshot;
    if (wanted && found.record.lsn >= state.replay_from &&
        found.record.lsn <= state.last_operation_lsn) {
      visit(found.record);
    }
  });
}

}  // namespace varve
