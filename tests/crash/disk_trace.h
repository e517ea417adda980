// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/base/bytes.h"

namespace varve::test {

/// Names the content of a file, whatever the file is called; never used twice.
using InodeNumber = std::uint64_t;

/// What a disk holds: contents by number, and names in directories by their whole path.
/// "/disk" exists from the start. A value; contents are shared between copies until written to.
struct DiskImage {
  struct Entry {
    InodeNumber inode = 0;  ///< 0: a directory
  };
  using Directory = std::map<std::string, Entry>;

  std::map<InodeNumber, std::shared_ptr<Bytes>> files;
  std::map<std::string, Directory> directories{{"/disk", {}}};

  /// The content, for writing.
  Bytes& content(InodeNumber inode);
  /// The entry at `path`; null if there is none.
  const Entry* find(const std::string& path) const;
  /// Forgets contents without a name and directories that cannot be reached.
  void drop_unreachable();
  /// Writes everything below `/disk` into the directory `path` of the host.
  void write_to(const std::string& path) const;
};

/// What may be said of a history of operations at a moment. Positions in it: the state at position
/// n is the one after n operations.
struct Promise {
  std::size_t durable = 0;       ///< a power cut must leave at least this
  std::size_t acknowledged = 0;  ///< the death of the process must leave at least this
  std::size_t issued = 0;        ///< nothing can leave more than this

  friend bool operator==(const Promise&, const Promise&) = default;
};

/// One thing that was done to a disk.
struct DiskStep {
  enum class Kind : std::uint8_t {
    kWrite,
    kTruncate,
    kSync,  ///< of a file
    kCreate,
    kMakeDirectory,
    kRename,
    kRemove,
    kSyncDirectory,
    kPromise,  ///< no step of the disk: what is promised from here on
  };

  Kind kind{};
  InodeNumber inode = 0;
  std::uint64_t offset = 0;  ///< of a write; the size of a truncation
  Bytes bytes;               ///< of a write
  std::string directory;     ///< where names change
  std::string name;
  std::string new_name;     ///< of a rename
  std::size_t covered = 0;  ///< a sync covers the steps before this one
  std::string path;         ///< of a sync, in words for people
  std::string phase;        ///< of a sync: what the program was doing
  Promise promise;

  bool is_flush() const { return kind == Kind::kSync || kind == Kind::kSyncDirectory; }
};

/// Does to `image` what `step` does, if the file or names that it is about are there.
void apply(DiskImage& image, const DiskStep& step);

std::string parent_of(const std::string& path);
std::string leaf_of(const std::string& path);

}  // namespace varve::test
