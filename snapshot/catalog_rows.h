// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "snapshot/catalog.h"
#include "snapshot/key.h"
#include "snapshot/lineage.h"

// The records of the catalog tree. It is a tree like that of a volume, with its own use of keys:
// ino is the type of the row (RowType), kind is always Kind::kHeadInfo, because pointers inside a
// row are not birth events of the catalog tree and this kind holds none, and sub is the row's id.
// Every row begins with the byte 1. What can be derived (children, hidden) is not stored twice.
// docs/format.md, "Catalog", draws the bytes.

namespace varve {

enum class RowType : std::uint64_t {
  kCounters = 1,
  kFamily = 2,
  kNode = 3,
  kVolume = 4,
  kSnapshot = 5,
  kDeletion = 6,
};

/// The next number of each sort; numbers are never used twice.
struct CountersRow {
  std::uint64_t next_volume = 1;
  std::uint64_t next_node = 1;
  std::uint64_t next_family = 1;
  std::uint64_t next_deletion = 1;
};

/// Heads and snapshots that descend from one another share their txg counter.
struct FamilyRow {
  FamilyId id{};
  Txg last_txg = 0;
  std::uint32_t nodes = 0;  ///< not stored
};

/// How far a background deletion came: everything up to and with `key` on `level` is done, in the
/// order "children before their node". Level 0 are records, level n + 1 the nodes of level n.
struct DeletionCursor {
  std::uint8_t level = 0;
  Key key;
  std::uint8_t released = 0;  ///< > 0: of record `key` only so many pointers are done
  friend bool operator==(const DeletionCursor&, const DeletionCursor&) = default;
};

enum class DeletionId : std::uint64_t {};

/// A removed lineage node whose space is not given back yet: the pointers of the tree `root` born
/// after `lo` that are not in the tree `compare`, from `cursor` on.
struct DeletionRow {
  DeletionId id{};
  Ptr root;
  Txg lo = 0;
  std::optional<Ptr> compare;   ///< the child's root at the commit that removed the node
  std::optional<NodeId> child;  ///< whose root that was
  Csn pinned_csn = 0;           ///< both trees are readable for a pin of this commit
  std::optional<DeletionCursor> cursor;
  bool stuck = false;  ///< met damage; is never continued, a recount takes its place
};

Key row_key(RowType type, std::uint64_t id);

template <class Id>
Key row_key(RowType type, Id id) {
  return row_key(type, static_cast<std::uint64_t>(id));
}

/// Encoders and decoders. Decoders take the id from the key and throw CorruptionError.
Bytes encode_row(const CountersRow& row);
Bytes encode_row(const FamilyRow& row);
Bytes encode_row(const LineageNode& row);
Bytes encode_row(const VolumeRow& row);
Bytes encode_row(const SnapshotRow& row);
Bytes encode_row(const DeletionRow& row);
CountersRow decode_counters(ByteView bytes);
FamilyRow decode_family(FamilyId id, ByteView bytes);
LineageNode decode_node(NodeId id, ByteView bytes);
VolumeRow decode_volume(VolumeId id, ByteView bytes);
SnapshotRow decode_snapshot(NodeId id, ByteView bytes);
DeletionRow decode_deletion(DeletionId id, ByteView bytes);

/// What Store::root() holds: the byte 1 and the pointer to the catalog tree.
Bytes encode_root(const Ptr& catalog);
Ptr decode_root(ByteView bytes);

/// Longest labels of one volume or snapshot: bytes of keys and values together.
inline constexpr std::size_t kMaxLabelBytes = 4096;

}  // namespace varve
