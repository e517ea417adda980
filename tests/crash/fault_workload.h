// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fs/repository.h"
#include "tests/crash/simulated_disk.h"

namespace varve::test {

/// What a repository shows, in the simplest words: "volume/file" or "volume@snapshot/file" to its
/// content, and "volume" or "volume@snapshot" to nothing.
using FaultState = std::map<std::string, std::string>;

/// Reads everything. Attaches each volume; none may be in use.
FaultState fault_state_of(Repository& repository);
/// The same without snapshots: one that was not committed when the store stopped can be read after
/// the next start only.
FaultState volumes_of(Repository& repository);
FaultState volumes_of(const FaultState& state);

/// A fixed row of operations on a repository whose disk may fail at any moment, and what may be
/// there afterwards: after a failed operation, both what was before and what it would have made.
class FaultWorkload {
 public:
  explicit FaultWorkload(Repository& repository) : repository_(repository) {
    history_.push_back({{}});
  }

  /// Tries every operation, whatever fails.
  void run();
  /// Tries one more change. The errno of its failure; 0 if it succeeded.
  int change_once_more();

  /// States that the death of the process may leave.
  const std::set<FaultState>& present() const { return history_.back(); }
  /// States that a power cut may leave.
  std::set<FaultState> after_power_cut() const;
  /// The errno of each operation that failed, in order.
  const std::vector<int>& failures() const { return failures_; }

 private:
  struct Step {
    std::function<void()> act;
    std::function<void(FaultState&)> expect;
    bool durable = false;
  };
  bool attempt(const Step& step);
  void write(const std::string& file, std::size_t size, char letter);
  void remove(const std::string& file);
  void rename(const std::string& from, const std::string& to);
  void fsync();
  void snapshot(const std::string& name);
  void drop_snapshot(const std::string& name);
  void clone(const std::string& snapshot, const std::string& name);
  void roll_back(const std::string& snapshot);
  void background();
  void detach();
  Volume& volume();

  Repository& repository_;
  std::shared_ptr<Volume> volume_;
  std::vector<std::set<FaultState>> history_;
  std::size_t durable_ = 0;
  std::vector<int> failures_;
};

}  // namespace varve::test
