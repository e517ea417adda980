// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/simulated_disk.h"
#include "tests/crash/volume_state.h"
#include "tests/model/volume_workload.h"
#include "tests/support/memory_volume.h"

namespace varve::test {

/// Where the stores of these tests are.
inline const std::string kStorePath = "/disk/store";

/// Small files, so that a short workload fills segments and goes round the journal.
RepositoryOptions crash_options();

/// What a workload did to a disk, and what it should have left: the state of the repository after
/// each operation. State 0 is "no store", state 1 an empty one.
struct CrashRecord {
  DiskImage start;
  std::vector<DiskStep> trace;
  std::vector<RepositoryState> history;
};

/// Random commands on a repository and random operations on its volumes, in lives that end by a
/// close or a kill. Everything is done to references in memory too. GoogleTest failures say that
/// an answer was wrong. For one thread.
class CrashWorkload {
 public:
  explicit CrashWorkload(std::uint64_t seed);
  ~CrashWorkload();

  /// Creates the store, runs `commands` commands, ends as the seed says.
  CrashRecord run(int commands);

 private:
  struct Pair {
    explicit Pair(MemoryVolume of) : reference(std::move(of)) {}
    MemoryVolume reference;
    std::shared_ptr<Volume> volume;
  };
  using Volumes = std::map<std::string, std::unique_ptr<Pair>>;
  enum class Durable : std::uint8_t { kNo, kYes };

  std::uint64_t random(std::uint64_t below) { return random_() % below; }
  std::string next_name(const char* prefix) { return prefix + std::to_string(++names_); }

  // The history.
  /// `states` more states may show from here on.
  void issue(std::size_t states);
  /// They have been reached.
  void acknowledge(Durable durable);
  void note(const std::string& key, Volume& reference);
  void push_state() { history_.push_back(present_); }
  /// Everything that was acknowledged is durable now.
  void all_durable();

  void open();
  void end_life();
  void command();
  void work();
  void fsync();
  void add_volume();
  void take_snapshot();
  void make_clone();
  void roll_back();
  void remove_snapshot();
  void remove_volume();
  void settle();
  void detach(Pair& pair);
  void detach_all();

  Volumes::value_type& any_volume();
  Volume& volume(Volumes::value_type& named);

  std::mt19937_64 random_;
  VolumeWorkload workload_;
  std::shared_ptr<DiskMedia> media_ = std::make_shared<DiskMedia>();
  std::unique_ptr<SimulatedDisk> disk_;
  std::unique_ptr<Repository> repository_;
  Volumes volumes_;
  std::map<std::string, MemoryVolume> snapshots_;
  int names_ = 0;

  std::vector<RepositoryState> history_;
  RepositoryState present_;
  Promise promise_;
};

}  // namespace varve::test
