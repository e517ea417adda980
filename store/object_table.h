// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>

#include "store/location.h"
#include "store/store.h"

namespace varve {

/// What the index knows of one object.
struct ObjectState {
  Placement placement;     ///< primary absent: the object is lost, known by its references only
  std::uint64_t refs = 0;  ///< birth events
  Csn dead_csn = 0;        ///< if refs is 0: the commit that took the last one

  bool lost() const { return !placement.primary.present(); }
  friend bool operator==(const ObjectState&, const ObjectState&) = default;
};

/// One object in an ObjectTable.
struct ObjectEntry {
  ObjectState state;
  bool row_exists = false;  ///< the database has a row for it, or may have
  bool erased = false;      ///< purged: the object is not there any more
};

/// Figures that change together with objects, as differences since the last write to the database.
struct ObjectTotals {
  std::map<SegmentId, std::int64_t> segment_live_bytes;  ///< of records that the index knows
  std::int64_t objects = 0;
  std::int64_t referenced_bytes = 0;  ///< stored bytes, both copies, of objects with references

  /// Counts that an object's state goes from `before` to `after`; empty means not there.
  void account(const std::optional<ObjectState>& before, const std::optional<ObjectState>& after);
  void add(const ObjectTotals& other);
};

/// Everything that one transaction of the index database writes.
struct IndexChange {
  Csn csn = 0;  ///< the last commit included
  std::unordered_map<Digest, ObjectEntry> objects;
  ObjectTotals totals;
  std::map<SegmentId, std::uint64_t> sealed_segments;  ///< with their sizes
  std::set<SegmentId> forgotten_segments;
  std::set<Digest> damaged;
  std::set<Digest> healed;
  SegmentId last_segment = 0;
};

/// The changes that are not in the database yet: an active part that commits add to, and a frozen
/// part that is being written. Newer states shadow older ones and the database's rows; an object
/// that is born and dies in the active part never reaches the database. Not safe to share: the
/// Index guards it.
class ObjectTable {
 public:
  /// The newest entry of `digest`; null if the database has to be asked.
  const ObjectEntry* find(const Digest& digest) const;
  /// Whether a row may exist once the frozen part is written.
  bool row_may_exist(const Digest& digest) const;

  /// Replaces what is known of `digest`: it goes from `before` to `after` (empty: erased).
  void publish(const Digest& digest, const std::optional<ObjectState>& before,
               const std::optional<ObjectState>& after, bool row_exists);

  /// Drops active objects without a row that died before `horizon` and are not held. Returns the
  /// change of the totals.
  ObjectTotals drop_short_lived(Csn horizon, const std::unordered_map<Digest, std::uint32_t>& held);
  /// Freezes the active part as of commit `csn`. The frozen part must be empty.
  std::shared_ptr<const IndexChange> freeze(Csn csn);
  std::shared_ptr<const IndexChange> frozen() const { return frozen_; }
  /// The frozen part is in the database.
  void drop_frozen() { frozen_ = nullptr; }

  IndexChange& active() { return active_; }
  const IndexChange& active() const { return active_; }

 private:
  IndexChange active_;
  std::shared_ptr<const IndexChange> frozen_;
};

}  // namespace varve
