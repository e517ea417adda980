// SPDX-License-Identifier: Apache-2.0
// What only looks at a catalog as a whole: what a deletion would free, and whether rows agree.
#include <algorithm>
#include <unordered_map>

#include "snapshot/catalog_change.h"
#include "snapshot/catalog_impl.h"
#include "snapshot/deletion.h"
#include "store/digest_range.h"

namespace varve {
namespace {

/// Distinct objects that one pass over the trees keeps in memory, about 60 bytes each.
constexpr std::uint64_t kReleasesPerPass = 4'000'000;

std::string number_text(NodeId id) { return std::to_string(static_cast<std::uint64_t>(id)); }

}  // namespace

RemovalSpace CatalogImpl::removal_space(const std::vector<SnapshotRow>& snapshots) {
  RemovalSpace out;
  const std::unique_ptr<ReadPin> pin = store_.pin();
  std::vector<DeletionRow> deletions;
  {
    // Staged as the real deletion stages it, and dropped.
    CatalogChange change(*this);
    for (const SnapshotRow& snapshot : snapshots) {
      change.delete_snapshot(snapshot);
    }
    for (const auto& [id, row] : change.staging().deletions()) {
      if (row && !state_of_turn().deletions().contains(id)) deletions.push_back(*row);
    }
    for (const SnapshotRow& snapshot : snapshots) {
      if (change.staging().snapshot(snapshot.node) != nullptr) ++out.kept;
    }
  }
  const std::uint64_t passes = DigestRange::passes_for(store_.figures().objects, kReleasesPerPass);
  for (std::uint64_t pass = 0; pass < passes; ++pass) {
    const DigestRange range(pass, passes);
    std::unordered_map<Digest, std::uint64_t> releases;
    for (const DeletionRow& row : deletions) {
      DeletionWalk(cache_, row, row.compare, rules()).run({}, [&](const Ptr& ptr) {
        if (range.contains(ptr.digest)) ++releases[ptr.digest];
      });
    }
    for (const auto& [digest, count] : releases) {
      const std::optional<LiveObject> object = store_.check().live(digest);
      if (!object || object->references > count) continue;
      out.bytes += object->stored_bytes();
      ++out.objects;
    }
  }
  return out;
}

std::vector<std::string> CatalogImpl::problems() const {
  std::vector<std::string> out;
  const MutexLock lock(mutex_);
  for (const auto& [id, node] : state_.nodes()) {
    if (node.hidden && node.children < 2) {
      out.push_back("catalog: hidden snapshot " + number_text(id) + " has " +
                    std::to_string(node.children) + " children; it should be gone");
    }
    if (node.is_head && node.children != 0) {
      out.push_back("catalog: head " + number_text(id) + " has children");
    }
    const bool used =
        node.is_head ? std::any_of(state_.volumes().begin(), state_.volumes().end(),
                                   [head = id](const auto& v) { return v.second.head == head; })
                     : state_.snapshots().contains(id);
    if (!used)
      out.push_back("catalog: lineage node " + number_text(id) + " has no volume or snapshot");
    const FamilyRow& family = state_.families().at(node.family);
    if (node.root && node.root->birth > family.last_txg) {
      out.push_back("catalog: the root of lineage node " + number_text(id) +
                    " was born in the future");
    }
  }
  for (const auto& [id, family] : state_.families()) {
    if (family.nodes == 0) {
      out.push_back("catalog: family " + std::to_string(static_cast<std::uint64_t>(id)) +
                    " has no members");
    }
  }
  for (const auto& [id, row] : state_.snapshots()) {
    if (!row.hidden && !state_.volumes().contains(row.volume)) {
      out.push_back("catalog: snapshot " + row.name + " is of no volume");
    }
  }
  for (const auto& [id, row] : state_.deletions()) {
    if (row.stuck) {
      out.push_back("catalog: a background deletion met damage; a recount returns its space");
    }
  }
  return out;
}

}  // namespace varve
