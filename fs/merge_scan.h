// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "fs/overlay.h"
#include "snapshot/tree.h"

namespace varve {

/// Records of one generation, as Overlay and Transaction keep them.
using RecordMap = std::map<Key, Overlay::Value>;

/// Calls `visit` for the newest records with first ≤ key < last, ascending, until it returns false.
/// `layers` lie over `base`, newest first; their removals hide what is older. WouldBlock when a
/// node of `base` is not in memory; then some records were visited already.
void merge_scan(std::span<const RecordMap* const> layers, const Tree& base, const Key& first,
                const Key& last, const std::function<bool(const Key&, ByteView)>& visit);

}  // namespace varve
