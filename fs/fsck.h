// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "snapshot/damage.h"

namespace varve {

/// What a check of a whole store found.
struct FsckReport {
  /// Sentences kept in `problems`; the rest is only counted.
  static constexpr std::size_t kMaxProblems = 1000;

  std::vector<std::string> problems;  ///< that are there at the end of the check
  std::uint64_t problem_count = 0;
  std::vector<std::string> mended;  ///< what was wrong and was written anew
  std::uint64_t trees = 0;          ///< different ones
  std::uint64_t nodes = 0;
  std::uint64_t inodes = 0;
  std::uint64_t objects = 0;

  void add(const std::string& problem) {
    if (problems.size() < kMaxProblems) problems.push_back(problem);
    ++problem_count;
  }
};

struct RepositoryOptions;
class Disk;

/// Opens the store at `path`, which nobody else may have open, checks all of it, and closes it.
/// With `repair`, and if there are problems, the index and its counts are made anew from segments
/// and trees, and everything is checked again; what was wrong and is right now is in `mended`.
/// Throws as Repository::open.
FsckReport check_store(Disk& disk, const std::string& path, const RepositoryOptions& options,
                       bool repair);

}  // namespace varve
