// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/digest.h"
#include "store/object_check.h"

namespace varve {

/// How far the pass over all objects came that `varve scrub` makes: what survives a restart. A
/// value.
struct ScrubState {
  bool finished = false;        ///< the pass is complete
  std::int64_t started_ns = 0;  ///< since the epoch
  std::int64_t finished_ns = 0;
  std::optional<Digest> cursor;  ///< objects up to it are checked; none: from the first
  std::uint64_t objects = 0;     ///< checked
  std::uint64_t bytes = 0;       ///< read
  std::uint64_t repaired = 0;    ///< objects written anew
  std::uint64_t mended = 0;      ///< superblock slots, headers and footers written anew
  std::uint64_t unrepaired = 0;  ///< at the end: objects and files that stay damaged

  /// Of all digests, in 1/10,000: digests are spread evenly, so it is the share of the objects.
  std::uint32_t done_ten_thousandths() const;
  /// Text of "name: value" lines; docs/format.md has it.
  std::string encode() const;
  /// Empty if the text is damaged or of another version: the pass begins anew then.
  static std::optional<ScrubState> decode(const std::string& text);

  friend bool operator==(const ScrubState&, const ScrubState&) = default;
};

/// What `varve scrub` shows.
struct ScrubProgress {
  ScrubState state;
  bool ever_run = false;
  bool running = false;
  std::uint64_t rate_bytes = 0;       ///< a second; 0: no limit
  std::vector<FileFinding> findings;  ///< of this process, besides objects
  std::string failure;                ///< why the pass ended early; empty if it did not
};

}  // namespace varve
