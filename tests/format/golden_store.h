// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fs/repository.h"
#include "tests/support/temp_directory.h"

namespace varve::test {

/// The stored stores that every later version must open: NAME.tar.gz in tests/format, with
/// NAME.manifest beside it. make_golden.cc wrote them.
inline constexpr const char* kGoldenNames[] = {"format-1-clean", "format-1-crashed"};

/// Small journal files and no threads, so that a golden store is small and the same each time.
RepositoryOptions golden_options();

/// Fills an empty store with one of everything that the format can say. While the result lives, the
/// last changes are in the journal only.
std::shared_ptr<Volume> fill_golden(Repository& repository);

/// Everything that a reader sees, as lines: volumes, trash, snapshots, and of each every path with
/// its attributes, extended attributes, and the digest of its content.
std::string manifest_of(Repository& repository);

/// The golden store `name` in a directory of its own.
class UnpackedGolden {
 public:
  explicit UnpackedGolden(const std::string& name);
  std::string path() const { return directory_ / "store"; }

 private:
  TempDirectory directory_;
};

/// What the program `arguments[0]`, found in PATH, said and how it ended (-1: by a signal, or not
/// started at all). Bounded by a timeout of 60 s.
struct ProgramResult {
  int status = -1;
  std::string output;  ///< standard output and errors
};
ProgramResult run_program(const std::vector<std::string>& arguments);

}  // namespace varve::test
