// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "snapshot/catalog.h"
#include "store/base/bytes.h"

namespace varve {

/// The payload of a kSnapshot record: from the moment that it is durable the snapshot exists; it
/// holds the operations of its volume that stand before it in the journal. Its manifest is made by
/// the commit of that generation, before or after a crash.
///
///     volume u64 | created_ns i64 | name sized | label count varint | (key sized, value sized)…
struct SnapshotCut {
  VolumeId volume{};
  std::string name;
  std::int64_t created_ns = 0;
  std::map<std::string, std::string> labels;

  Bytes encode() const;
  /// CorruptionError on malformed bytes.
  static SnapshotCut decode(ByteView payload);
};

}  // namespace varve
