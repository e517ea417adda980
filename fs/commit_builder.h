// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "fs/overlay.h"
#include "fs/profile.h"
#include "snapshot/tree.h"
#include "snapshot/tree_edit.h"
#include "store/objects.h"

namespace varve {

/// Turns one frozen generation into the changes of a tree: hashes, deduplicates and stores file
/// data and long values into the batch, from several threads, and holds no lock while it does.
/// Files whose inode is gone leave nothing. For one thread.
class CommitBuilder {
 public:
  struct Input {
    const Overlay& overlay;  ///< frozen
    const Tree& base;        ///< kept readable by the caller
    Objects& objects;
    ObjectsBatch& batch;
    Txg txg = 0;  ///< the birth of every new pointer
    std::size_t threads = 2;
    Profile profile = Profile::kGeneral;
  };
  explicit CommitBuilder(const Input& input) : input_(input) {}

  /// For edit_tree: ascending keys, each once. StoreError when an object can be neither read nor
  /// stored; the batch is of no use then.
  std::vector<Change> build();

 private:
  struct Task;
  std::uint64_t size_of(Ino ino) const;
  std::vector<std::uint64_t> changed_regions(Ino ino, const FileData& data) const;
  void add_tasks(Ino ino, const FileData& data, std::vector<Task>& tasks) const;
  void run(Task& task) const;
  Overlay::Value stored_value(const Key& key, const Overlay::Value& value) const;
  void store_long(Blob& blob) const;

  const Input input_;
};

}  // namespace varve
