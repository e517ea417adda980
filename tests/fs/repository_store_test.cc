// SPDX-License-Identifier: Apache-2.0
// The repository over a store on a disk.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "fs/profile.h"
#include "tests/support/fault_disk.h"
#include "tests/support/repository_world.h"
#include "tests/support/temp_directory.h"

namespace varve::test {
namespace {

class RepositoryStore : public testing::Test {
 protected:
  static RepositoryOptions options() {
    RepositoryOptions out = RepositoryWorld::default_options();
    out.store.segment_bytes = 1 << 20;
    out.store.journal_file_bytes = 4 << 20;
    out.store.reserve_bytes = 1 << 20;
    return out;
  }
  std::unique_ptr<Repository> open(const RepositoryOptions& with = options()) {
    return Repository::open(Disk::host(), directory_ / "store", true, with);
  }
  static void create(Repository& repository, const std::string& name) {
    Repository::CreateVolume request;
    request.name = name;
    repository.create_volume(request);
  }

  TempDirectory directory_;
};

TEST_F(RepositoryStore, KeepsVolumesAcrossCloseAndOpen) {
  {
    auto repository = open();
    create(*repository, "a");
    write_file(*repository->attach("a"), "f", pattern(3 << 20, 1));
    repository->create_snapshot("a", "s", {});
    repository->close();
  }
  auto repository = open();
  EXPECT_EQ(read_file(*repository->attach("a"), "f"), pattern(3 << 20, 1));
  EXPECT_EQ(repository->snapshots("a").size(), 1u);
  repository->close();
}

TEST_F(RepositoryStore, AProfileChoosesChunksAndCompression) {
  auto repository = open();
  std::string text;
  for (const char* name : {"/LICENSE", "/docs/format.md", "/docs/cli.md", "/docs/durability.md"}) {
    std::ifstream file(std::string(VARVE_SOURCE_DIR) + name);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  ASSERT_GT(text.size(), 40'000u);
  struct Growth {
    std::uint64_t objects = 0, bytes = 0;
  };
  const auto growth_of = [&](const char* profile, const Bytes& content) {
    const StoreFigures before = repository->figures();
    Repository::CreateVolume request;
    request.name = std::string(profile) + std::to_string(content.size());
    request.labels[kProfileLabel] = profile;
    repository->create_volume(request);
    write_file(*repository->attach(request.name), "f", content);
    repository->commit();
    EXPECT_EQ(read_file(*repository->attach(request.name), "f"), content);
    const StoreFigures after = repository->figures();
    return Growth{after.objects - before.objects, after.live_bytes - before.live_bytes};
  };
  EXPECT_LT(growth_of("general", pattern(1 << 20, 1)).objects, 20u);
  EXPECT_GE(growth_of("database", pattern(1 << 20, 2)).objects, 64u);
  EXPECT_LT(growth_of("of-a-later-version", pattern(1 << 20, 3)).objects, 20u);
  // Each with a first line of its own, or the second would find the chunks of the first.
  const auto text_after = [&](const std::string& first) {
    const std::string all = first + text;
    return Bytes(as_bytes(all).begin(), as_bytes(all).end());
  };
  const std::uint64_t general = growth_of("general", text_after("a\n")).bytes;
  const std::uint64_t archive = growth_of("archive", text_after("bb\n")).bytes;
  EXPECT_LT(archive, general - general / 20);
  repository->close();
}

TEST_F(RepositoryStore, ReplaysWhatAKilledProcessAcknowledged) {
  std::shared_ptr<Volume> volume;
  {
    auto repository = open();
    create(*repository, "a");
    volume = repository->attach("a");
    write_file(*volume, "f", pattern(500'000, 1));
    repository->commit();
    write_file(*volume, "f", pattern(100, 2), 200'000);
    repository->create_snapshot("a", "s", {});
    write_file(*volume, "g", pattern(100'000, 3));
    // Neither detached nor closed: the handle outlives the repository and is never used again.
    repository.reset();
  }
  auto repository = open();
  Bytes expected = pattern(500'000, 1);
  std::ranges::copy(pattern(100, 2), expected.begin() + 200'000);
  {
    const auto again = repository->attach("a");
    EXPECT_EQ(read_file(*again, "f"), expected);
    EXPECT_EQ(read_file(*again, "g"), pattern(100'000, 3));
    const auto snapshot = repository->attach_snapshot("a@s");
    EXPECT_EQ(read_file(*snapshot, "f"), expected);
    EXPECT_FALSE(snapshot->lookup(kRootIno, "g"));
  }
  repository->close();
}

TEST_F(RepositoryStore, GivesSpaceBackWhenSnapshotsGo) {
  auto repository = open();
  create(*repository, "a");
  for (unsigned i = 0; i < 5; ++i) {
    write_file(*repository->attach("a"), "f", pattern(4 << 20, i));
    repository->create_snapshot("a", "s" + std::to_string(i), {});
  }
  EXPECT_GT(repository->figures().live_bytes, 19u << 20);
  for (unsigned i = 0; i < 5; ++i) repository->remove_snapshot("a@s" + std::to_string(i));
  for (int i = 0; i < 1000 && repository->step(); ++i) {
  }
  EXPECT_EQ(repository->pending_deletions(), 0u);
  EXPECT_LT(repository->figures().live_bytes, 5u << 20);
  EXPECT_EQ(read_file(*repository->attach("a"), "f"), pattern(4 << 20, 4));
  repository->close();
}

TEST_F(RepositoryStore, RebuildsItsIndex) {
  {
    auto repository = open();
    create(*repository, "a");
    write_file(*repository->attach("a"), "f", pattern(2 << 20, 1));
    repository->create_snapshot("a", "s", {});
    write_file(*repository->attach("a"), "f", pattern(1 << 20, 2));
    repository->close();
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ / "store")) {
    if (entry.path().filename().string().starts_with("index")) {
      std::filesystem::remove(entry.path());
    }
  }
  auto repository = open();
  EXPECT_EQ(read_file(*repository->attach_snapshot("a@s"), "f"), pattern(2 << 20, 1));
  repository->remove_snapshot("a@s");
  for (int i = 0; i < 1000 && repository->step(); ++i) {
  }
  EXPECT_LT(repository->figures().live_bytes, 3u << 20);
  repository->close();
}

TEST_F(RepositoryStore, ServesReadsAfterAFailedSync) {
  FaultDisk disk;
  auto repository = Repository::open(disk, directory_ / "store", true, options());
  create(*repository, "a");
  auto volume = repository->attach("a");
  write_file(*volume, "f", pattern(300'000, 1));
  repository->commit();
  write_file(*volume, "f", pattern(10, 2), 5);
  disk.plan().fail(DiskCall::kSync, 1, EIO);
  EXPECT_EQ(failure_of([&] { volume->sync(); }).first, EIO);
  EXPECT_TRUE(repository->figures().read_only);
  EXPECT_EQ(failure_of([&] { write_file(*volume, "f", pattern(10, 3), 5); }).first, EIO);
  Bytes expected = pattern(300'000, 1);
  std::ranges::copy(pattern(10, 2), expected.begin() + 5);
  EXPECT_EQ(read_file(*volume, "f"), expected);
  volume.reset();
}

TEST_F(RepositoryStore, RefusesWritesOnAFullDiskAndStillDeletes) {
  FaultDisk disk;
  auto repository = Repository::open(disk, directory_ / "store", true, options());
  create(*repository, "a");
  {
    const auto volume = repository->attach("a");
    write_file(*volume, "f", pattern(4 << 20, 1));
    disk.plan().set_free_bytes(512 << 10);  // less than the reserve
    repository->commit();                   // the store asks the host again after it
    EXPECT_EQ(failure_of([&] { write_file(*volume, "f", pattern(1 << 20, 2)); }).first, ENOSPC);
    EXPECT_EQ(read_file(*volume, "f"), pattern(4 << 20, 1));
    repository->create_snapshot("a", "s", {});
    remove_file(*volume, "f");
    repository->commit();
  }
  repository->remove_snapshot("a@s");
  for (int i = 0; i < 1000 && repository->step(); ++i) {
  }
  EXPECT_LT(repository->figures().live_bytes, 1u << 20);
  repository->close();
}

// What waited for room was not tried again before the next commit, which an idle store never makes.
TEST_F(RepositoryStore, CompactsWhenThereIsRoomAgainWithoutAnotherCommit) {
  FaultDisk disk;
  auto repository = Repository::open(disk, directory_ / "store", true, options());
  create(*repository, "a");
  const auto settle = [&] {
    for (int i = 0; i < 1000 && repository->step(); ++i) {
    }
  };
  {
    const auto volume = repository->attach("a");
    for (unsigned i = 0; i < 32; ++i) {
      write_file(*volume, "f" + std::to_string(i), pattern(300'000, i));
    }
    repository->commit();
    for (unsigned i = 0; i < 32; i += 2) remove_file(*volume, "f" + std::to_string(i));
    repository->commit();
  }
  disk.plan().set_free_bytes(2 << 20);
  settle();
  const std::uint64_t held = repository->figures().segment_bytes;
  EXPECT_GT(held, 7u << 20);
  disk.plan().clear();
  settle();
  EXPECT_LT(repository->figures().segment_bytes, held - (3 << 20));
  repository->close();
}

TEST_F(RepositoryStore, WorksWithItsThreads) {
  RepositoryOptions with = options();
  with.background = true;
  with.commit_interval_ms = 1;
  with.dirty_limit_bytes = 1 << 20;
  with.dirty_stall_bytes = 2 << 20;
  {
    auto repository = open(with);
    create(*repository, "a");
    const auto volume = repository->attach("a");
    for (unsigned i = 0; i < 40; ++i) {
      write_file(*volume, "f" + std::to_string(i % 7), pattern(200'000, i));
      if (i % 10 == 0) repository->create_snapshot("a", "s" + std::to_string(i), {});
      if (i % 10 == 5) repository->remove_snapshot("a@s" + std::to_string(i - 5));
    }
    for (unsigned i = 33; i < 40; ++i) {
      EXPECT_EQ(read_file(*volume, "f" + std::to_string(i % 7)), pattern(200'000, i));
    }
  }
  auto repository = open(with);
  EXPECT_EQ(read_file(*repository->attach("a"), "f4"), pattern(200'000, 39));
  repository->close();
}

}  // namespace
}  // namespace varve::test
