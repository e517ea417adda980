// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/model/volume_workload.h"
#include "tests/support/memory_volume.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_world.h"

namespace varve::test {
namespace {

/// A volume and its reference, on one clock.
class Pair {
 public:
  explicit Pair(const VolumeWorkload::Options& options, std::uint64_t node_cache_bytes = 64 << 20)
      : workload_(options),
        world_({.store = {}, .node_cache_bytes = node_cache_bytes, .clock = workload_.clock()}),
        reference_(workload_.clock()) {}

  bool run(std::size_t steps) { return workload_.run(world_.volume(), reference_, steps); }
  bool equal() {
    EXPECT_THAT(problems_of(world_.records()), testing::IsEmpty());
    EXPECT_EQ(world_.info().inodes, reference_.inodes().size());
    return VolumeWorkload::equal(world_.volume(), reference_);
  }
  /// The mount is gone: nothing holds an orphan.
  void drop_lookups() {
    reference_.drop_lookups();
    world_.volume().drop_lookups();
    while (world_.volume().free_orphans_step()) {
    }
  }

  VolumeWorld& world() { return world_; }
  MemoryVolume& reference() { return reference_; }

 private:
  VolumeWorkload workload_;
  VolumeWorld world_;
  MemoryVolume reference_;
};

class VolumeModel : public testing::TestWithParam<std::uint64_t> {
 protected:
  VolumeModel() : trace_(__FILE__, __LINE__, "seed " + std::to_string(GetParam())) {}
  VolumeWorkload::Options options() const {
    VolumeWorkload::Options out;
    out.seed = GetParam();
    return out;
  }

 private:
  testing::ScopedTrace trace_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, VolumeModel, testing::Range<std::uint64_t>(1, 9));

TEST_P(VolumeModel, AgreesWithTheReferenceInMemoryAlone) {
  Pair pair(options());
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(pair.run(2000));
    ASSERT_TRUE(pair.equal());
  }
}

TEST_P(VolumeModel, AgreesOnNamesInFewDirectories) {
  VolumeWorkload::Options few = options();
  few.data = false;
  few.names = 5;
  few.inodes_wanted = 30;
  Pair pair(few);
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(pair.run(2500));
    ASSERT_TRUE(pair.equal());
  }
}

TEST_P(VolumeModel, AgreesWhileGenerationsAreFrozenAndCommitted) {
  Pair pair(options());
  std::mt19937_64 random(GetParam());
  for (int round = 0; round < 80; ++round) {
    ASSERT_TRUE(pair.run(random() % 150));
    if (random() % 2 == 0) pair.world().freeze();
    if (random() % 2 == 0) pair.world().commit_frozen();
    if (round % 20 != 19) continue;
    ASSERT_TRUE(pair.equal());
  }
  pair.world().commit();
  ASSERT_TRUE(pair.equal());
}

TEST_P(VolumeModel, AgreesWhenEveryNodeHasToBeWaitedFor) {
  Pair pair(options(), 48 << 10);
  std::mt19937_64 random(GetParam());
  for (int round = 0; round < 20; ++round) {
    pair.world().store().memory().refuse_first_touch(true);
    ASSERT_TRUE(pair.run(random() % 150));
    pair.world().commit();
  }
  pair.world().store().memory().refuse_first_touch(false);
  ASSERT_TRUE(pair.equal());
}

TEST_P(VolumeModel, AgreesAcrossRemountsAndKills) {
  Pair pair(options());
  std::mt19937_64 random(GetParam());
  for (int round = 0; round < 24; ++round) {
    ASSERT_TRUE(pair.run(random() % 300));
    if (random() % 3 == 0) pair.world().freeze();
    if (random() % 3 == 0) pair.world().commit_frozen();
    if (random() % 2 == 0) {
      pair.world().remount();
    } else {
      pair.world().crash();
    }
    pair.drop_lookups();
    ASSERT_TRUE(pair.equal());
  }
}

TEST_P(VolumeModel, CommitsShowTheMomentOfTheirCut) {
  Pair pair(options());
  for (int round = 0; round < 8; ++round) {
    ASSERT_TRUE(pair.run(400));
    pair.world().commit();
    MemoryVolume then = pair.reference();
    const auto snapshot = pair.world().view_commit();
    ASSERT_TRUE(pair.run(400));
    ASSERT_TRUE(VolumeWorkload::equal(*snapshot, then));
    pair.world().commit();
    ASSERT_TRUE(VolumeWorkload::equal(*snapshot, then));
  }
}

TEST_P(VolumeModel, ReadOnlyVolumesRefuseEveryChange) {
  Pair pair(options());
  ASSERT_TRUE(pair.run(1500));
  pair.world().commit();
  const auto snapshot = pair.world().view_commit();
  MemoryVolume then = pair.reference();
  then.set_read_only(true);
  VolumeWorkload::Options more = options();
  more.seed += 1000;
  VolumeWorkload workload(more);
  // Without changes time does not show, and orphans are never freed: lookups may differ.
  ASSERT_TRUE(workload.run(*snapshot, then, 1500));
  ASSERT_TRUE(VolumeWorkload::equal(*snapshot, then));
}

}  // namespace
}  // namespace varve::test
