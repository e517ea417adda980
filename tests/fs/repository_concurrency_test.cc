// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "fs/snapshots_view.h"
#include "tests/support/repository_world.h"

namespace varve::test {
namespace {

constexpr std::size_t kRecordBytes = 5000;

/// A file of records that all carry the same number, so that any mixture shows.
Bytes record(unsigned number) {
  return Bytes(kRecordBytes, static_cast<std::byte>(number % 250 + 1));
}

TEST(RepositoryConcurrency, WritersReadersAndSnapshotsGoOnDuringCommits) {
  RepositoryOptions options;
  options.commit_interval_ms = 1;
  options.dirty_limit_bytes = 1 << 20;
  options.dirty_stall_bytes = 4 << 20;
  auto store = std::make_unique<MemoryStore>(options.store);
  RepositoryImpl repository(std::move(store), options);
  Repository::CreateVolume request;
  request.name = "a";
  repository.create_volume(request);
  {
    const auto volume = repository.attach("a");
    constexpr unsigned kWriters = 3;
    constexpr unsigned kRounds = 60;
    std::vector<Ino> files;
    for (unsigned i = 0; i < kWriters; ++i) {
      files.push_back(
          volume->make_node(kRootIno, "f" + std::to_string(i), S_IFREG | 0644, 0, {}).ino);
      volume->write(files[i], 0, record(0), false);
    }
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i] {
        for (unsigned round = 1; round <= kRounds; ++round) {
          volume->write(files[i], 0, record(round), false);
          volume->write(files[i], (round + 1) * 70'000, record(round), false);
          if (round % 16 == 0) volume->sync();
        }
      });
    }
    std::thread reader([&] {
      Bytes out(kRecordBytes);
      while (!done) {
        for (const Ino ino : files) {
          ASSERT_EQ(volume->read(ino, 0, out), kRecordBytes);
          ASSERT_EQ(out, Bytes(kRecordBytes, out[0])) << "one write, whole";
        }
      }
    });
    std::thread snapshots([&] {
      for (unsigned i = 0; i < 12; ++i) {
        repository.create_snapshot("a", "s" + std::to_string(i), {});
        if (i % 4 == 3) repository.remove_snapshot("a@s" + std::to_string(i - 2));
        repository.volumes();
      }
    });
    for (std::thread& thread : threads) thread.join();
    snapshots.join();
    done = true;
    reader.join();
    for (unsigned i = 0; i < kWriters; ++i) {
      Bytes out(kRecordBytes);
      for (unsigned round = 1; round <= kRounds; ++round) {
        ASSERT_EQ(volume->read(files[i], (round + 1) * 70'000, out), kRecordBytes);
        ASSERT_EQ(out, record(round));
      }
    }
    // Each snapshot is one moment: a number in a record says which records are there.
    for (const SnapshotRow& row : repository.snapshots("a")) {
      const auto view = repository.attach_snapshot("a@" + row.name);
      for (const Ino ino : files) {
        Bytes out(kRecordBytes);
        view->read(ino, 0, out);
        const unsigned round = static_cast<unsigned>(out[0]) - 1;
        ASSERT_EQ(out, record(round));
        if (round < 2) continue;
        view->read(ino, round * 70'000, out);
        ASSERT_EQ(out, record(round - 1)) << row.name;
      }
    }
  }
  repository.close();
}

/// Pins are renewed, snapshots removed and their space freed under those who look into them: what
/// they read is whole, or they are told that it is gone.
TEST(RepositoryConcurrency, SnapshotsComeAndGoWhileTheyAreLookedInto) {
  RepositoryOptions options;
  options.commit_interval_ms = 1;
  RepositoryImpl repository(std::make_unique<MemoryStore>(options.store), options);
  Repository::CreateVolume request;
  request.name = "a";
  repository.create_volume(request);
  {
    const auto volume = repository.with_snapshots(repository.attach("a"), "a");
    const Ino file = volume->make_node(kRootIno, "f", S_IFREG | 0644, 0, {}).ino;
    volume->write(file, 0, record(0), false);
    std::atomic<bool> done{false};
    std::thread writer([&] {
      for (unsigned round = 1; !done; ++round) volume->write(file, 0, record(round), false);
    });
    std::atomic<unsigned> whole{0};
    const auto look = [&](const std::string& name) {
      const auto shelf = volume->lookup(kRootIno, kSnapshotsName).value().ino;
      const auto root = volume->lookup(shelf, name).value().ino;
      const auto found = volume->lookup(root, "f").value().ino;
      Bytes out(kRecordBytes);
      for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(volume->read(found, 0, out), kRecordBytes);
        ASSERT_EQ(out, Bytes(kRecordBytes, out[0]));
        ++whole;
      }
      volume->forget(found, 1);
    };
    std::vector<std::thread> readers;
    for (int i = 0; i < 2; ++i) {
      readers.emplace_back([&] {
        while (!done) {
          std::vector<std::string> names;
          const auto shelf = volume->lookup(kRootIno, kSnapshotsName).value().ino;
          volume->read_directory(shelf, 0, true, [&](const DirectoryEntry& entry) {
            if (entry.name[0] != '.') names.emplace_back(entry.name);
            return true;
          });
          for (const std::string& name : names) {
            try {
              look(name);
            } catch (const PosixError& error) {
              ASSERT_TRUE(error.code() == ENOENT || error.code() == ESTALE) << error.code();
            }
          }
        }
      });
    }
    for (unsigned i = 0; i < 60; ++i) {
      repository.create_snapshot("a", "s" + std::to_string(i), {});
      if (i >= 3) repository.remove_snapshot("a@s" + std::to_string(i - 3));
    }
    for (const unsigned seen = whole; whole < seen + 50 && !testing::Test::HasFailure();)
      std::this_thread::yield();
    done = true;
    writer.join();
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(repository.snapshots("a").size(), 3u);
  }
  repository.close();
}

TEST(RepositoryConcurrency, StalledWritersGoOnAfterEachCommit) {
  RepositoryOptions options;
  options.commit_interval_ms = 0;
  options.dirty_limit_bytes = 64 << 10;
  options.dirty_stall_bytes = 128 << 10;
  RepositoryImpl repository(std::make_unique<MemoryStore>(options.store), options);
  std::vector<std::thread> writers;
  for (unsigned i = 0; i < 3; ++i) {
    Repository::CreateVolume request;
    request.name = "v" + std::to_string(i);
    repository.create_volume(request);
    writers.emplace_back([&repository, name = request.name, i] {
      const auto volume = repository.attach(name);
      for (unsigned round = 0; round < 40; ++round) {
        write_file(*volume, "f", pattern(30'000, round), round * 30'000);
        if (round % 7 == i) repository.commit();
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(read_file(*repository.attach("v2"), "f").size(), 40u * 30'000);
  repository.close();
}

TEST(RepositoryConcurrency, RollbackOfABusyVolumeIsOneMoment) {
  RepositoryOptions options;
  options.commit_interval_ms = 1;
  auto store = std::make_unique<MemoryStore>(options.store);
  RepositoryImpl repository(std::move(store), options);
  Repository::CreateVolume request;
  request.name = "a";
  repository.create_volume(request);
  {
    const auto volume = repository.attach("a");
    const Ino ino = volume->make_node(kRootIno, "f", S_IFREG | 0644, 0, {}).ino;
    volume->write(ino, 0, record(0), false);
    repository.create_snapshot("a", "s", {});
    std::atomic<bool> done{false};
    std::thread writer([&] {
      for (unsigned i = 1; !done; ++i) volume->write(ino, 0, record(i), false);
    });
    for (int i = 0; i < 5; ++i) repository.rollback("a", "s", {});
    done = true;
    writer.join();
    Bytes out(kRecordBytes);
    ASSERT_EQ(volume->read(ino, 0, out), kRecordBytes);
    EXPECT_EQ(out, Bytes(kRecordBytes, out[0]));
    EXPECT_EQ(repository.snapshots("a").size(), 6u);
  }
  repository.close();
}

}  // namespace
}  // namespace varve::test
