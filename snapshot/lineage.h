// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "snapshot/ptr.h"

namespace varve {

/// A head or a snapshot in its family's tree of descent.
enum class NodeId : std::uint64_t {};
enum class FamilyId : std::uint64_t {};

/// A node owns exactly the pointers of its tree born after its parent's txg.
struct LineageNode {
  NodeId id{};
  FamilyId family{};
  std::optional<NodeId> parent;
  Txg txg = 0;  ///< when a snapshot was taken; 0 for a head
  bool is_head = false;
  bool hidden = false;
  std::optional<Ptr> root;
  std::uint32_t children = 0;
};

}  // namespace varve
