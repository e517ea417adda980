// SPDX-License-Identifier: Apache-2.0
#include "mountd/trash_purge.h"

#include <gtest/gtest.h>

#include "tests/support/fake_repository.h"

namespace varve {
namespace {

/// The fake's clock begins at the epoch: what is in its trash is old.
TEST(TrashPurgeTest, RemovesWhatIsOldEnoughForGood) {
  test::FakeRepository repository;
  repository.create_volume({"v", 0, {}, 0755, 0, 0});
  repository.remove_volume("v");
  TrashPurge(repository, 0).tick();
  EXPECT_EQ(repository.trash().size(), 1u);
  TrashPurge(repository, INT64_MAX / 4'000'000'000).tick();
  EXPECT_EQ(repository.trash().size(), 1u);
  TrashPurge purge(repository, 3600);
  purge.tick();
  EXPECT_TRUE(repository.trash().empty());
  repository.create_volume({"v", 0, {}, 0755, 0, 0});
  repository.remove_volume("v");
  purge.tick();  // too soon for another look
  EXPECT_EQ(repository.trash().size(), 1u);
}

}  // namespace
}  // namespace varve
