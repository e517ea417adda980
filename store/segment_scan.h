// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "store/base/disk.h"
#include "store/segment_format.h"

namespace varve {

/// Whether a file must begin with a whole header. Footer and records are sealed with store, segment
/// and place, so they can be trusted without it.
enum class SegmentHead : std::uint8_t { kRequired, kIgnored };

/// Throws CorruptionError if the file's header is not that of `identity`, UserError (ENOTSUP) if it
/// is of a newer format.
SegmentHeader read_segment_header(const File& file, const SegmentIdentity& identity);

/// The records that the footer of a segment file names; empty if it has no valid footer. Reads the
/// footer only. Throws CorruptionError if the file's header is not that of `identity`, UserError
/// (ENOTSUP) if it is of a newer format.
std::optional<std::vector<FooterEntry>> read_footer(const File& file,
                                                    const SegmentIdentity& identity,
                                                    SegmentHead head = SegmentHead::kRequired);
/// The end of the file as a footer's trailer; empty if it is none.
std::optional<FooterTrailer> read_trailer(const File& file, const SegmentIdentity& identity);

/// The records found by reading the whole file: those whose header and payload checksums are right.
/// What lies between them (gaps of failed writes, a torn tail, damage) is skipped. Throws as
/// read_footer.
std::vector<FooterEntry> scan_records(const File& file, const SegmentIdentity& identity,
                                      SegmentHead head = SegmentHead::kRequired);

}  // namespace varve
