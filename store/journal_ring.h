// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/disk.h"
#include "store/journal_format.h"
#include "store/location.h"

namespace varve {

/// The files of the journal and which span of the stream each holds. A file is written with zeros
/// and synced before its first use, so that appends never allocate and flushes carry no metadata;
/// later it is recycled for other spans with its old content in it, which records' positions and
/// epochs tell apart. Not safe to share between threads; create_file is.
class JournalRing {
 public:
  struct Config {
    std::string directory;
    StoreId store_id{};
    JournalLayout layout;
    /// To scan beside the writer that owns the files: nothing is removed, nothing can be written.
    bool looks_only = false;
  };
  /// A file of the right size; empty of meaning while `span` is.
  struct Slot {
    std::uint64_t index = 0;  ///< in its name
    std::unique_ptr<File> file;
    std::optional<std::uint64_t> span;
    std::uint32_t epoch = 0;
  };

  /// Opens the files there are and reads their headers; removes what an interrupted create_file
  /// left. Files of another size or without a whole header hold no span.
  JournalRing(Disk& disk, Config config);

  const Config& config() const { return config_; }
  const JournalLayout& layout() const { return config_.layout; }
  const std::vector<Slot>& slots() const { return slots_; }
  std::size_t size() const { return slots_.size(); }
  /// The file that holds `span`, or null.
  File* file_of(std::uint64_t span) const;
  bool has_free() const;
  /// What is wrong with the set of files (one is missing or has another size), or empty. Files are
  /// made whole before they get their name, so a crash does not do that.
  std::string defect() const;

  /// Forgets the spans outside of [first, last]: their files are free.
  void keep_only(std::uint64_t first, std::uint64_t last);
  /// Puts a free file to use for `span` by writing its header (not flushed). Returns null if none
  /// is free.
  File* assign(std::uint64_t span, std::uint32_t epoch);

  /// An index that no file has.
  std::uint64_t next_index() const;
  /// Writes a file of zeros and makes it and its name durable. An older file of that name is
  /// replaced. Touches no member: may run beside everything else.
  static std::unique_ptr<File> create_file(Disk& disk, const Config& config, std::uint64_t index);
  /// Takes a file that create_file made for `index` into the ring.
  void adopt(std::uint64_t index, std::unique_ptr<File> file);
  /// Removes files whose size is not the layout's, when a scan has shown that they are not needed.
  void drop_misfits(Disk& disk);

 private:
  void open_file(Disk& disk, const std::string& name);

  Config config_;
  std::vector<Slot> slots_;
  std::vector<std::string> misfits_;
};

}  // namespace varve
