// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <exception>
#include <iostream>
#include <string>

#include "tests/model/ownership_world.h"

namespace varve::test {
namespace {

TEST(Ownership, LosesAndLeaksNothingInRandomHistories) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    MemoryStore store;
    ASSERT_NO_THROW(OwnershipWorld(seed, store, OwnershipRules::standard()).run(200));
  }
}

/// Runs histories until the checker notices, or all seeds are used up.
template <class AnyStore = MemoryStore>
bool caught(const OwnershipRules& rules) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    AnyStore store;
    try {
      OwnershipWorld(seed, store, rules).run(150);
    } catch (const std::exception& error) {
      std::cout << "  caught at seed " << seed << ": " << error.what() << '\n';
      return true;
    }
  }
  return false;
}

// Each of these rules looks right. The checker above must notice every one of them.

TEST(OwnershipMistake, ComparingWithTheLiveChildIsCaught) {
  struct Mistake : OwnershipRules {
    std::optional<Ptr> compare_root(const std::optional<Ptr>&,
                                    const std::optional<Ptr>& live) const override {
      return live;
    }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, RemovingABranchPointAtOnceIsCaught) {
  struct Mistake : OwnershipRules {
    bool stays_hidden(std::uint32_t) const override { return false; }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, ReleasingWhatASnapshotOwnsIsCaught) {
  struct Mistake : OwnershipRules {
    bool head_releases(Txg, Txg) const override { return true; }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, NeverReleasingIsCaught) {
  struct Mistake : OwnershipRules {
    bool head_releases(Txg, Txg) const override { return false; }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, ReclaimingUnderADeletionIsCaught) {
  struct Mistake : OwnershipRules {
    bool deletion_holds_space() const override { return false; }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, TakingEqualContentForTheSameBirthIsCaught) {
  struct Mistake : OwnershipRules {
    bool same_event(const Ptr& before, const Ptr& after) const override {
      return before.digest == after.digest;
    }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, PruningEqualNodesBeforeComparingTheirBirthsIsCaught) {
  struct Mistake : OwnershipRules {
    bool releases_equal_node(const Ptr&, const Ptr&) const override { return false; }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, ApplyingReleasesBeforeBirthsIsCaught) {
  EXPECT_TRUE(caught<FreesFirstStore>(OwnershipRules::standard()));
}

TEST(OwnershipMistake, LeavingARolledBackHeadWithItsOldParentIsCaught) {
  struct Mistake : OwnershipRules {
    std::optional<NodeId> parent_after_rollback(const LineageNode& head,
                                                const LineageNode&) const override {
      return head.parent;
    }
  };
  EXPECT_TRUE(caught(Mistake()));
}

TEST(OwnershipMistake, GivingACloneTheParentOfItsSnapshotIsCaught) {
  struct Mistake : OwnershipRules {
    std::optional<NodeId> parent_of_clone(const LineageNode& snapshot) const override {
      return snapshot.parent;
    }
  };
  EXPECT_TRUE(caught(Mistake()));
}

}  // namespace
}  // namespace varve::test
