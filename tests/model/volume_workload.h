// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fs/volume.h"
#include "tests/support/memory_volume.h"

namespace varve::test {

/// Random operations done to a volume and to the reference alike: every answer, error numbers
/// included, must be equal. Failures are GoogleTest's, with the operation in words. Both volumes
/// must take their time from clock(). Inode numbers are compared, so both must have begun empty.
/// For one thread.
class VolumeWorkload {
 public:
  struct Options {
    std::uint64_t seed = 1;
    std::size_t names = 12;              ///< different names; fewer means more collisions
    std::size_t inodes_wanted = 200;     ///< creation slows down above it
    std::uint64_t largest_write = 4096;  ///< now and then 64 times as much
    std::uint64_t file_bytes = 1 << 18;  ///< offsets are mostly below; now and then far beyond
    bool data = true;                    ///< reads, writes, truncation
    /// Copies stay inside a region, so that a crash leaves all or nothing of each.
    bool whole_copies = false;
  };

  explicit VolumeWorkload(const Options& options);

  /// The time that both volumes see; it moves with each step.
  std::function<Time()> clock() const;

  /// One operation on both. False after a difference.
  bool step(Volume& volume, MemoryVolume& reference);
  /// `count` steps; stops at the first difference.
  bool run(Volume& volume, MemoryVolume& reference, std::size_t count);

  /// Compares everything that is reachable from the root: attributes, contents, attributes'
  /// values, targets. Counts no lookups.
  static bool equal(Volume& volume, MemoryVolume& reference);

  std::uint64_t steps() const { return steps_; }

 private:
  struct Operation {
    std::string text;
    /// Does it and says what came of it.
    std::function<std::string(Volume&)> run;
  };

  std::uint64_t random(std::uint64_t below);
  bool chance(unsigned percent) { return random(100) < percent; }
  Ino any_inode(MemoryVolume& reference);
  Ino any_directory(MemoryVolume& reference);
  Ino any_file(MemoryVolume& reference);
  std::string any_name();
  /// A name in the directory, mostly one that exists, and whether it is a directory's.
  struct Named {
    std::string name;
    bool directory = false;
  };
  Named any_entry(MemoryVolume& reference, Ino directory);
  std::uint32_t any_mode();
  Caller any_caller();
  std::uint64_t any_offset(MemoryVolume& reference, Ino ino);
  std::uint64_t any_size();
  Bytes any_data();
  std::string any_xattr_name();
  Bytes any_acl();

  Operation pick(MemoryVolume& reference);
  Operation make_operation(MemoryVolume& reference);
  Operation remove_operation(MemoryVolume& reference);
  Operation rename_operation(MemoryVolume& reference);
  Operation link_operation(MemoryVolume& reference);
  Operation lookup_operation(MemoryVolume& reference);
  Operation forget_operation(MemoryVolume& reference);
  Operation setattr_operation(MemoryVolume& reference);
  Operation truncate_operation(MemoryVolume& reference);
  Operation xattr_operation(MemoryVolume& reference);
  Operation list_operation(MemoryVolume& reference);
  Operation write_operation(MemoryVolume& reference);
  Operation read_operation(MemoryVolume& reference);
  Operation allocate_operation(MemoryVolume& reference);
  Operation copy_operation(MemoryVolume& reference);
  bool check_seek(Volume& volume, MemoryVolume& reference);

  const Options options_;
  std::mt19937_64 random_;
  std::shared_ptr<Time> time_;
  std::vector<std::string> names_;
  std::uint64_t steps_ = 0;
};

/// What stat shows, in words, without the blocks.
std::string text_of(const Attributes& attributes);

}  // namespace varve::test
