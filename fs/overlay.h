// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "fs/file_data.h"
#include "snapshot/key.h"
#include "store/journal.h"

namespace varve {

/// The changes of one generation of a head: records by key, and file data by inode. Guarded by the
/// head's gate until it is frozen; then immutable and free to share.
class Overlay {
 public:
  /// The record's bytes, or none for "removed".
  using Value = std::optional<Bytes>;

  void set(const Key& key, Value value);
  /// Null if this generation says nothing about `key`.
  const Value* find(const Key& key) const;
  const std::map<Key, Value>& records() const { return records_; }

  /// Runs `body(FileData&)` on the file's data, which is made when absent, and counts its memory.
  template <class Body>
  void change_data(Ino ino, Body&& body) {
    const auto [at, inserted] = data_.try_emplace(ino);
    if (inserted) data_bytes_ += kFileOverheadBytes;
    FileData& data = at->second;
    const std::size_t before = data.memory_bytes();
    body(data);
    data_bytes_ += data.memory_bytes() - before;
  }
  const FileData* find_data(Ino ino) const;
  const std::map<Ino, FileData>& files() const { return data_; }
  /// The inode is freed: its data is forgotten, and nothing older shows.
  void drop_data(Ino ino);

  bool empty() const { return records_.empty() && data_.empty(); }
  std::size_t memory_bytes() const { return record_bytes_ + data_bytes_; }

  /// Where the first operation of this generation is in the journal; none while empty.
  std::optional<Lsn> first_lsn;

 private:
  /// What a file with changes costs before any of them: the map's node and the allocator's header.
  static constexpr std::size_t kFileOverheadBytes = sizeof(FileData) + 64;

  std::map<Key, Value> records_;
  std::map<Ino, FileData> data_;
  std::size_t record_bytes_ = 0;
  std::size_t data_bytes_ = 0;
};

}  // namespace varve
