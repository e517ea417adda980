// SPDX-License-Identifier: Apache-2.0
#include "store/object_table.h"

#include <utility>

#include "store/base/error.h"

namespace varve {

namespace {

void count(ObjectTotals& totals, const ObjectState& state, std::int64_t sign) {
  const Placement& placement = state.placement;
  const std::int64_t bytes = sign * static_cast<std::int64_t>(placement.stored_bytes);
  std::int64_t copies = 0;
  for (const Location& location : {placement.primary, placement.mirror}) {
    if (!location.present()) continue;
    totals.segment_live_bytes[location.segment] += bytes;
    ++copies;
  }
  totals.objects += sign;
  if (state.refs > 0) totals.referenced_bytes += copies * bytes;
}

}  // namespace

void ObjectTotals::account(const std::optional<ObjectState>& before,
                           const std::optional<ObjectState>& after) {
  if (before) count(*this, *before, -1);
  if (after) count(*this, *after, 1);
}

void ObjectTotals::add(const ObjectTotals& other) {
  for (const auto& [id, bytes] : other.segment_live_bytes) segment_live_bytes[id] += bytes;
  objects += other.objects;
  referenced_bytes += other.referenced_bytes;
}

const ObjectEntry* ObjectTable::find(const Digest& digest) const {
  const auto active = active_.objects.find(digest);
  if (active != active_.objects.end()) return &active->second;
  if (!frozen_) return nullptr;
  const auto frozen = frozen_->objects.find(digest);
  return frozen == frozen_->objects.end() ? nullptr : &frozen->second;
}

bool ObjectTable::row_may_exist(const Digest& digest) const {
  const auto active = active_.objects.find(digest);
  if (active != active_.objects.end()) return active->second.row_exists;
  return frozen_ && frozen_->objects.contains(digest);
}

void ObjectTable::publish(const Digest& digest, const std::optional<ObjectState>& before,
                          const std::optional<ObjectState>& after, bool row_exists) {
  active_.totals.account(before, after);
  ObjectEntry& entry = active_.objects[digest];
  entry.row_exists = row_exists;
  entry.erased = !after.has_value();
  entry.state = after.value_or(ObjectState());
}

ObjectTotals ObjectTable::drop_short_lived(Csn horizon,
                                           const std::unordered_map<Digest, std::uint32_t>& held) {
  ObjectTotals dropped;
  std::erase_if(active_.objects, [&](const auto& object) {
    const auto& [digest, entry] = object;
    if (entry.row_exists) return false;
    if (entry.erased) return true;
    const bool needed =
        entry.state.refs > 0 || entry.state.dead_csn >= horizon || held.contains(digest);
    if (!needed) dropped.account(entry.state, std::nullopt);
    return !needed;
  });
  active_.totals.add(dropped);
  return dropped;
}

std::shared_ptr<const IndexChange> ObjectTable::freeze(Csn csn) {
  VARVE_CHECK(frozen_ == nullptr);
  active_.csn = csn;
  frozen_ = std::make_shared<const IndexChange>(std::exchange(active_, IndexChange()));
  return frozen_;
}

}  // namespace varve
