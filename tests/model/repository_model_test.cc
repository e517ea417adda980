// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/volume_workload.h"
#include "tests/support/memory_volume.h"
#include "tests/support/repository_world.h"

namespace varve::test {
namespace {

/// A repository and what it should hold: a reference for each volume and each snapshot.
class Model {
 public:
  explicit Model(std::uint64_t seed)
      : random_(seed), workload_(workload_options(seed)), world_(options(workload_.clock())) {
    Repository::CreateVolume request;
    request.name = next_name("v");
    world_->create_volume(request);
    volumes_.emplace(request.name, std::make_unique<Pair>(MemoryVolume(workload_.clock())));
  }

  /// One random command. False after a difference.
  bool step() {
    switch (random_() % 14) {
      case 0:
        world_->commit();
        return true;
      case 1:
        world_->step();
        return true;
      case 2:
      case 3:
        return take_snapshot();
      case 4:
        return volumes_.size() >= 4 || make_clone();
      case 5:
        return roll_back();
      case 6:
        return remove_snapshot();
      case 7:
        return remove_volume();
      case 8:
        detach(any_volume()->second);
        return true;
      case 9:
        return random_() % 3 != 0 || crash();
      case 10:
        return compare_snapshot();
      default:
        return work();
    }
  }

  bool equal() {
    for (auto& [name, pair] : volumes_) {
      SCOPED_TRACE(name);
      if (!VolumeWorkload::equal(volume(name, *pair), pair->reference)) return false;
    }
    for (auto& [reference, state] : snapshots_) {
      SCOPED_TRACE(reference);
      if (!VolumeWorkload::equal(*world_->attach_snapshot(reference), state)) return false;
    }
    return true;
  }

  /// The check of everything finds nothing.
  void expect_sound() {
    for (const std::string& problem : world_->fsck().problems) ADD_FAILURE() << problem;
  }
  void expect_exact_references() {
    EXPECT_EQ(world_.store().memory().references(), world_.counted());
  }

  void remove_everything() {
    for (auto& [name, pair] : volumes_) detach(*pair);
    while (!snapshots_.empty()) {
      world_->remove_snapshot(snapshots_.begin()->first);
      snapshots_.erase(snapshots_.begin());
    }
    for (auto& [name, pair] : volumes_) world_->remove_volume(name);
    volumes_.clear();
    world_->purge_trash(INT64_MAX);
    world_.settle();
    EXPECT_EQ(world_->pending_deletions(), 0u);
    EXPECT_LT(world_.store().memory().live_bytes(), 20'000u);
  }

 private:
  struct Pair {
    explicit Pair(MemoryVolume of) : reference(std::move(of)) {}
    MemoryVolume reference;
    std::shared_ptr<Volume> volume;
  };
  using Volumes = std::map<std::string, std::unique_ptr<Pair>>;

  static VolumeWorkload::Options workload_options(std::uint64_t seed) {
    VolumeWorkload::Options out;
    out.seed = seed;
    return out;
  }
  static RepositoryOptions options(std::function<Time()> clock) {
    RepositoryOptions out = RepositoryWorld::default_options();
    out.clock = std::move(clock);
    return out;
  }

  std::string next_name(const std::string& prefix) { return prefix + std::to_string(++names_); }

  struct Choice {
    const std::string& first;
    Pair& second;
    const Choice* operator->() const { return this; }
  };
  Choice any_volume() {
    auto at = volumes_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random_() % volumes_.size()));
    return {at->first, *at->second};
  }
  std::map<std::string, MemoryVolume>::iterator any_snapshot() {
    auto at = snapshots_.begin();
    if (!snapshots_.empty()) {
      std::advance(at, static_cast<std::ptrdiff_t>(random_() % snapshots_.size()));
    }
    return at;
  }

  Volume& volume(const std::string& name, Pair& pair) {
    if (!pair.volume) {
      pair.volume = world_->attach(name);
      world_.settle();  // files that were unlinked in use at a cut or a crash are gone
    }
    return *pair.volume;
  }
  void detach(Pair& pair) {
    if (!pair.volume) return;
    pair.volume.reset();
    pair.reference.drop_lookups();
  }

  bool work() {
    const Choice chosen = any_volume();
    return workload_.run(volume(chosen.first, chosen.second), chosen.second.reference,
                         random_() % 120);
  }

  bool take_snapshot() {
    const Choice chosen = any_volume();
    const std::string name = next_name("s");
    world_->create_snapshot(chosen.first, name, {});
    MemoryVolume state = chosen.second.reference;
    state.drop_lookups();
    snapshots_.emplace(chosen.first + "@" + name, std::move(state));
    return true;
  }

  bool compare_snapshot() {
    const auto at = any_snapshot();
    if (at == snapshots_.end()) return true;
    return VolumeWorkload::equal(*world_->attach_snapshot(at->first), at->second);
  }

  bool make_clone() {
    const auto source = any_snapshot();
    if (source == snapshots_.end()) return true;
    Repository::CreateVolume request;
    request.name = next_name("v");
    world_->clone_volume(request, source->first);
    volumes_.emplace(request.name, std::make_unique<Pair>(source->second));
    return true;
  }

  bool roll_back() {
    const auto target = any_snapshot();
    if (target == snapshots_.end()) return true;
    const std::string name = target->first.substr(0, target->first.find('@'));
    Pair& pair = *volumes_.at(name);
    detach(pair);
    const SnapshotRow before = world_->rollback(name, target->first, {});
    snapshots_.emplace(name + "@" + before.name, pair.reference);
    const std::uint64_t next_ino = pair.reference.next_ino();
    pair.reference = target->second;
    while (pair.reference.next_ino() < next_ino) {  // numbers are never used twice
      const Ino ino = pair.reference.make_temporary(kRootIno, 0600, {}).ino;
      pair.reference.forget(ino, 1);
    }
    return VolumeWorkload::equal(volume(name, pair), pair.reference);
  }

  bool remove_snapshot() {
    if (snapshots_.size() < 3) return true;
    const auto at = any_snapshot();
    world_->remove_snapshot(at->first);
    snapshots_.erase(at);
    return true;
  }

  bool remove_volume() {
    if (volumes_.size() < 2 || random_() % 4 != 0) return true;
    const std::string name = any_volume()->first;
    detach(*volumes_.at(name));
    const auto [first, last] =
        std::pair(snapshots_.lower_bound(name + "@"), snapshots_.lower_bound(name + "A"));
    for (auto at = first; at != last; at = snapshots_.erase(at)) {
      world_->remove_snapshot(at->first);
    }
    world_->remove_volume(name);
    if (random_() % 2 == 0) {
      world_->restore_volume(name);
      return true;
    }
    world_->purge_trash(INT64_MAX);
    volumes_.erase(name);
    return true;
  }

  bool crash() {
    world_.crash(MemoryStore::Cut::kKill, [&] {
      for (auto& [name, pair] : volumes_) pair->volume.reset();
    });
    for (auto& [name, pair] : volumes_) pair->reference.drop_lookups();
    return true;
  }

  std::mt19937_64 random_;
  VolumeWorkload workload_;
  RepositoryWorld world_;
  Volumes volumes_;
  std::map<std::string, MemoryVolume> snapshots_;
  int names_ = 0;
};

class RepositoryModel : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, RepositoryModel, testing::Range<std::uint64_t>(1, 9));

TEST_P(RepositoryModel, AgreesWithTheReferenceThroughSnapshotsClonesRollbacksAndCrashes) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  Model model(GetParam());
  for (int step = 0; step < 120; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    ASSERT_TRUE(model.step());
  }
  ASSERT_TRUE(model.equal());
  model.expect_exact_references();
  model.expect_sound();
  model.remove_everything();
  model.expect_exact_references();
}

}  // namespace
}  // namespace varve::test
