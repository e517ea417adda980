// SPDX-License-Identifier: Apache-2.0
#include "store/commit_record.h"

#include <utility>

namespace varve {

namespace {

constexpr std::uint8_t kCommitRecordVersion = 1;

}  // namespace

Bytes CommitRecord::encode() const {
  Bytes out;
  out.reserve(64 + root.size() + delta.size());
  ByteWriter writer(out);
  writer.u8(kCommitRecordVersion);
  writer.u64(csn);
  writer.u64(replay_from);
  writer.sized(ByteView(root));
  writer.raw(delta);
  return out;
}

CommitRecord CommitRecord::decode(ByteView payload) {
  ByteReader reader(payload, "commit record");
  if (reader.u8() != kCommitRecordVersion) reader.fail("of an unknown version");
  CommitRecord out;
  out.csn = reader.u64();
  out.replay_from = reader.u64();
  const ByteView root = reader.sized();
  if (root.size() > Store::kMaxRootBytes) reader.fail("has too long a root");
  out.root.assign(root.begin(), root.end());
  const ByteView delta = reader.raw(reader.remaining());
  out.delta.assign(delta.begin(), delta.end());
  return out;
}

std::optional<CommitJoiner::Joined> CommitJoiner::add(const ScannedRecord& found) {
  if (!found.continued) {
    pending_ = Joined{found.record.lsn, {}};
  } else if (!pending_) {
    return std::nullopt;  // its begin has been trimmed: nobody needs it
  }
  Bytes& payload = pending_->payload;
  payload.insert(payload.end(), found.record.payload.begin(), found.record.payload.end());
  if (found.more) return std::nullopt;
  return std::exchange(pending_, std::nullopt);
}

}  // namespace varve
