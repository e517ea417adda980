// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

/// Mixed operations on a few names, by one of several threads. Refusals are fine; what counts is
/// that the volume does not contradict itself afterwards.
class Worker {
 public:
  Worker(AttachedVolume& volume, std::uint64_t seed, std::vector<Ino> directories)
      : volume_(volume), random_(seed), directories_(std::move(directories)) {}

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      try {
        step();
      } catch (const PosixError&) {
      }
    }
    for (const Ino ino : held_) volume_.forget(ino, 1);
  }

 private:
  std::uint64_t random(std::uint64_t below) { return random_() % below; }
  std::string name() { return "n" + std::to_string(random(20)); }
  Ino directory() { return directories_[random(directories_.size())]; }
  void hold(Ino ino) { held_.push_back(ino); }

  void step() {
    switch (random(12)) {
      case 0:
      case 1:
        return hold(volume_.make_node(directory(), name(), S_IFREG | 0644, 0, {}).ino);
      case 2:
        return hold(volume_.make_directory(directory(), name(), 0755, {}).ino);
      case 3:
        return volume_.unlink(directory(), name());
      case 4:
        return volume_.rmdir(directory(), name());
      case 5:
      case 6:
        return volume_.rename(directory(), name(), directory(), name(),
                              static_cast<RenameMode>(random(3)));
      case 7:
        if (const auto found = volume_.lookup(directory(), name())) hold(found->ino);
        return;
      case 8:
        if (held_.empty()) return;
        std::swap(held_[random(held_.size())], held_.back());
        volume_.forget(held_.back(), 1);
        held_.pop_back();
        return;
      case 9:
        if (held_.empty()) return;
        return hold(volume_.link(held_[random(held_.size())], directory(), name()).ino);
      case 10:
        if (held_.empty()) return;
        return volume_.write(held_[random(held_.size())], random(40'000),
                             Bytes(1 + random(3000), std::byte{7}), true);
      default:
        volume_.read_directory(directory(), 0, true, [&](const DirectoryEntry& entry) {
          if (random(30) == 0) return false;
          if (entry.attributes != nullptr) hold(entry.ino);
          return true;
        });
    }
  }

  AttachedVolume& volume_;
  std::mt19937_64 random_;
  const std::vector<Ino> directories_;
  std::vector<Ino> held_;
};

class Concurrency : public VolumeTest {
 protected:
  void run(bool with_commits) {
    constexpr std::uint64_t kThreads = 8;
    std::vector<Ino> directories{kRootIno, directory("d"), directory("e"), directory("f")};
    std::atomic<bool> done{false};
    std::thread committer([&] {
      while (with_commits && !done) {
        world_.commit();
        world_.volume().free_orphans_step();
      }
    });
    std::vector<std::thread> threads;
    for (std::uint64_t seed = 1; seed <= kThreads; ++seed) {
      threads.emplace_back([&, seed] { Worker(volume(), seed, directories).run(1500); });
    }
    for (std::thread& thread : threads) thread.join();
    done = true;
    committer.join();
    for (const Ino ino : directories) forget(ino);
    while (volume().free_orphans_step()) {
    }
    const auto records = world_.records();
    EXPECT_THAT(problems_of(records), testing::IsEmpty());
    for (const auto& [key, value] : records) {
      EXPECT_NE(key.kind, Kind::kOrphan) << "inode " << key.sub << " leaked";
    }
    world_.crash();
    EXPECT_EQ(world_.records(), records);
  }
};

TEST_F(Concurrency, EightThreadsLeaveAVolumeThatDoesNotContradictItself) { run(false); }

TEST_F(Concurrency, SoDoEightThreadsWhileGenerationsAreCommitted) { run(true); }

}  // namespace
}  // namespace varve::test
