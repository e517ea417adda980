// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "store/base/disk.h"
#include "store/segment_set.h"

namespace varve {

/// Makes the index file at `path` anew from the records in `segments`: every object with zero
/// references. A file that is there is renamed to "<path>.damaged". Segments that cannot be read
/// are set aside. Memory is bounded: with many objects the segments' footers are read several
/// times, each time for a range of digests.
///
/// A crash at any step leaves either no index or the complete new one. Throws StoreError,
/// UserError(ENOTSUP) for a segment of a newer format.
void rebuild_index(Disk& disk, SegmentSet& segments, const std::string& path, const StoreId& store);

}  // namespace varve
