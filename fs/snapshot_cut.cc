// SPDX-License-Identifier: Apache-2.0
#include "fs/snapshot_cut.h"

namespace varve {

Bytes SnapshotCut::encode() const {
  Bytes bytes;
  ByteWriter out(bytes);
  out.u64(static_cast<std::uint64_t>(volume));
  out.i64(created_ns);
  out.sized(name);
  out.varint(labels.size());
  for (const auto& [key, value] : labels) {
    out.sized(key);
    out.sized(value);
  }
  return bytes;
}

SnapshotCut SnapshotCut::decode(ByteView payload) {
  ByteReader in(payload, "snapshot's cut");
  SnapshotCut out;
  out.volume = VolumeId{in.u64()};
  out.created_ns = in.i64();
  out.name = in.sized_text();
  const std::uint64_t count = in.varint();
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key = in.sized_text();
    out.labels[std::move(key)] = in.sized_text();
  }
  in.expect_done();
  return out;
}

}  // namespace varve
