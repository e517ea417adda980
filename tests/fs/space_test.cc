// SPDX-License-Identifier: Apache-2.0
// Space comes back: after overwrites, after deletions that a kill interrupts, and as announced.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>

#include "fs/fsck.h"
#include "snapshot/births.h"
#include "snapshot/catalog_rows.h"
#include "tests/support/damaged_store.h"

namespace varve::test {
namespace {

class SpaceTest : public testing::Test {
 protected:
  std::uint64_t allocated() const {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(store_.path() + "/segments")) {
      struct stat status {};
      ::stat(entry.path().c_str(), &status);
      bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    return bytes;
  }
  std::map<Digest, std::uint64_t> counted() {
    std::map<Digest, std::uint64_t> out;
    store_->catalog().count_births([&](const Digest& digest) { ++out[digest]; });
    return out;
  }
  std::map<Digest, std::uint64_t> references() {
    std::map<Digest, std::uint64_t> out;
    store_->store().visit_references(
        [&](const Digest& digest, std::uint64_t count) { out[digest] = count; });
    return out;
  }
  /// Live objects that are not nodes of the catalog's own tree, with their bytes.
  std::map<Digest, std::uint64_t> live() {
    std::map<Digest, std::uint64_t> out;
    for (const LiveObject& object : store_.objects()) out[object.digest] = object.stored_bytes();
    NodeCache cache(store_->store().objects(), 1 << 20);
    visit_births(cache, decode_root(store_->store().root()), 0,
                 [&](const Ptr& ptr) { out.erase(ptr.digest); });
    return out;
  }

  DamagedStore store_;
};

TEST_F(SpaceTest, TenOverwritesUnderASnapshotKeepOneAndAHalfTimesWhatIsUnique) {
  constexpr std::size_t kBytes = 12 << 20;
  store_.create_volume("a");
  write_file(*store_->attach("a"), "f", pattern(kBytes, 1));
  store_->create_snapshot("a", "s", {});
  for (unsigned round = 2; round < 12; ++round) {
    write_file(*store_->attach("a"), "f", pattern(kBytes, round));
    store_.settle();
  }
  store_.settle();
  EXPECT_LE(allocated(), 2 * kBytes * 3 / 2);
  EXPECT_EQ(read_file(*store_->attach("a"), "f"), pattern(kBytes, 11));
  EXPECT_EQ(read_file(*store_->attach_snapshot("a@s"), "f"), pattern(kBytes, 1));
  EXPECT_EQ(counted(), references());
}

/// The same with random parts of a file, as a database writes it.
TEST_F(SpaceTest, RandomOverwritesUnderASnapshotKeepOneAndAHalfTimesWhatIsUnique) {
  constexpr std::size_t kBytes = 8 << 20;
  SCOPED_TRACE("seed 3");
  std::mt19937_64 random(3);
  store_.create_volume("a");
  Bytes content = pattern(kBytes, 1);
  write_file(*store_->attach("a"), "f", content);
  store_->create_snapshot("a", "s", {});
  for (unsigned round = 0; round < 10; ++round) {
    const auto volume = store_->attach("a");
    for (unsigned i = 0; i < kBytes / 16384; ++i) {
      const std::size_t at = random() % (kBytes / 16384) * 16384;
      const Bytes block = pattern(16384, static_cast<unsigned>(random()));
      std::copy(block.begin(), block.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
      write_file(*volume, "f", block, at);
    }
    store_.settle();
  }
  store_.settle();
  EXPECT_LE(allocated(), 2 * kBytes * 3 / 2);
  EXPECT_EQ(read_file(*store_->attach("a"), "f"), content);
  EXPECT_EQ(counted(), references());
}

/// Each of them kept everything that died since it was mounted, in all volumes.
TEST_F(SpaceTest, WhatIsMountedAndIdleHoldsNothingBack) {
  constexpr std::size_t kBytes = 12 << 20;
  for (const char* name : {"a", "idle"}) store_.create_volume(name);
  const auto idle = store_->attach("idle");
  write_file(*idle, "f", pattern(1000, 1));
  const auto busy = store_->attach("a");
  write_file(*busy, "f", pattern(kBytes, 1));
  store_->create_snapshot("a", "s", {});
  store_.settle();
  const auto view = store_->attach_snapshot("a@s");
  for (unsigned round = 2; round < 12; ++round) {
    write_file(*busy, "f", pattern(kBytes, round));
    store_.settle();
  }
  EXPECT_LE(allocated(), 2 * kBytes * 3 / 2);
  EXPECT_EQ(read_file(*idle, "f"), pattern(1000, 1));
  EXPECT_EQ(read_file(*view, "f"), pattern(kBytes, 1));
  EXPECT_EQ(read_file(*busy, "f"), pattern(kBytes, 11));
  EXPECT_EQ(counted(), references());
}

/// The last one who could read it leaves: nobody needs to commit before its space comes back.
TEST_F(SpaceTest, ARemovedSnapshotGivesItsSpaceBackWhenItsLastUserLeaves) {
  constexpr std::size_t kBytes = 12 << 20;
  store_.create_volume("a");
  const auto busy = store_->attach("a");
  write_file(*busy, "f", pattern(kBytes, 1));
  store_->create_snapshot("a", "s", {});
  write_file(*busy, "f", pattern(kBytes, 2));
  store_.settle();
  auto view = store_->attach_snapshot("a@s");
  store_->remove_snapshot("a@s");
  store_.settle();
  EXPECT_EQ(read_file(*view, "f"), pattern(kBytes, 1));
  EXPECT_GE(allocated(), 2 * kBytes);
  view.reset();
  store_.settle();
  EXPECT_LE(allocated(), kBytes * 3 / 2);
  EXPECT_EQ(counted(), references());
}

TEST_F(SpaceTest, ADeletionKilledAtEachCommitLeaksAndFreesTwiceNothing) {
  store_.create_volume("a");
  {
    const auto volume = store_->attach("a");
    for (unsigned i = 0; i < 150; ++i) {
      write_file(*volume, "f" + std::to_string(i), pattern(3000, i));
    }
    store_->create_snapshot("a", "s", {});
    for (unsigned i = 0; i < 140; ++i) remove_file(*volume, "f" + std::to_string(i));
  }
  store_.settle();
  store_->remove_snapshot("a@s");
  int steps = 0;
  while (store_->catalog().delete_step(11, store_->store().journal().end())) {
    ++steps;
    store_.kill();
    store_.open();
    ASSERT_EQ(counted(), references()) << "after step " << steps;
    ASSERT_LT(steps, 1000);
  }
  EXPECT_GT(steps, 12);
  store_.settle();
  EXPECT_EQ(counted(), references());
  EXPECT_EQ(store_->fsck().problems, std::vector<std::string>());
  for (unsigned i = 140; i < 150; ++i) {
    EXPECT_EQ(read_file(*store_->attach("a"), "f" + std::to_string(i)), pattern(3000, i));
  }
}

class RemovalSpaceTest : public SpaceTest, public testing::WithParamInterface<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, RemovalSpaceTest, testing::Range<std::uint64_t>(1, 7));

/// Random volumes, snapshots and clones: each removal frees exactly what was announced.
TEST_P(RemovalSpaceTest, IsWhatTheRemovalFrees) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  std::vector<std::string> volumes{"v0"};
  std::vector<std::string> snapshots;
  store_.create_volume("v0");
  for (int step = 0; step < 25; ++step) {
    const std::string& volume = volumes[random() % volumes.size()];
    {
      const auto user = store_->attach(volume);
      for (int i = 0; i < 4; ++i) {
        const std::string name = "f" + std::to_string(random() % 12);
        // Equal contents in several files and volumes: some are freed by no single removal.
        write_file(*user, name, pattern(2000 + random() % 40'000, random() % 9));
      }
    }
    if (random() % 2 == 0) {
      const std::string name = "s" + std::to_string(step);
      store_->create_snapshot(volume, name, {});
      snapshots.push_back(volume + "@" + name);
    }
    if (!snapshots.empty() && volumes.size() < 4 && random() % 5 == 0) {
      Repository::CreateVolume request;
      request.name = "v" + std::to_string(volumes.size());
      store_->clone_volume(request, snapshots[random() % snapshots.size()]);
      volumes.push_back(request.name);
    }
  }
  while (!snapshots.empty()) {
    store_.settle();
    std::vector<std::string> chosen;
    for (std::size_t i = random() % 2; i < 2 && !snapshots.empty(); ++i) {
      const std::size_t at = random() % snapshots.size();
      chosen.push_back(snapshots[at]);
      snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(at));
    }
    const RemovalSpace said = store_->removal_space(chosen);
    const auto before = live();
    for (const std::string& reference : chosen) store_->remove_snapshot(reference);
    store_.settle();
    const auto after = live();
    RemovalSpace is;
    for (const auto& [digest, bytes] : before) {
      if (after.contains(digest)) continue;
      ++is.objects;
      is.bytes += bytes;
    }
    EXPECT_EQ(said.objects, is.objects);
    EXPECT_EQ(said.bytes, is.bytes);
  }
  EXPECT_EQ(counted(), references());
}

TEST_F(SpaceTest, ABranchPointStaysAndFreesNothing) {
  store_.create_volume("a");
  write_file(*store_->attach("a"), "f", pattern(50'000, 1));
  store_->create_snapshot("a", "s", {});
  Repository::CreateVolume request;
  request.name = "b";
  store_->clone_volume(request, "a@s");
  const RemovalSpace said = store_->removal_space({"a@s"});
  EXPECT_EQ(said.kept, 1u);
  EXPECT_EQ(said.bytes, 0u);
  EXPECT_EQ(store_->snapshots("a").size(), 1u) << "a look changes nothing";
}

}  // namespace
}  // namespace varve::test
