// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "snapshot/node_cache.h"
#include "snapshot/ptr.h"

namespace varve {

/// Calls `visit` for every pointer to nodes and data in the tree at `root` with a birth after `lo`;
/// subtrees that are older are not read. A damaged node is logged, and what is below it left out:
/// it cannot be reached by anybody.
void visit_births(NodeCache& cache, const std::optional<Ptr>& root, Txg lo,
                  const std::function<void(const Ptr&)>& visit);

}  // namespace varve
