// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "store/location.h"
#include "store/store.h"

namespace varve {

/// What one commit changes in the index: births first, then releases. It is carried by the
/// journal's commit record, so that recovery can apply it again. Each digest occurs at most once
/// among the births and at most once among the releases; both are sorted by digest. A value.
struct CommitDelta {
  struct Birth {
    Digest digest;
    /// Where the commit wrote it; primary absent if the object was there before.
    Placement placement;
    std::uint64_t births = 0;
    /// Written because the earlier copy is damaged: takes its place.
    bool heals = false;

    friend bool operator==(const Birth&, const Birth&) = default;
  };
  struct Release {
    Digest digest;
    std::uint64_t count = 0;

    friend bool operator==(const Release&, const Release&) = default;
  };

  Csn csn = 0;
  std::vector<Birth> births;
  std::vector<Release> releases;

  /// At most 100 bytes a birth and 42 a release.
  Bytes encode() const;
  /// Trusts nothing: throws CorruptionError on truncation, disorder, or impossible fields.
  static CommitDelta decode(ByteView bytes);

  friend bool operator==(const CommitDelta&, const CommitDelta&) = default;
};

}  // namespace varve
