// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "fs/file_view.h"
#include "fs/transaction.h"

namespace varve {

/// Bytes of small files that are kept in the inode's record, as InodeRecord::allocated counts them.
constexpr std::uint64_t inline_allocated(std::uint64_t size) { return (size + 511) / 512 * 512; }

/// True if the record holds the whole content.
inline bool is_inline_file(const InodeRecord& inode) {
  return inode.content.is_inline() && !inode.content.bytes().empty();
}

/// One change of a regular file's data: keeps `size`, `allocated` and inline content of the inode
/// record and the head's counters right. The caller sets times and privileges and stores the inode.
/// A file with at most kInlineBytes that holds no block is kept inline; a file that has blocks goes
/// back to inline only through size 0.
///
/// Must outlive the commit of the transaction. How many blocks a cut or a punch drops has to be
/// known for `allocated`; when the range is so big that counting would hold the gate for long, the
/// count is made outside of it, of the same immutable layers, and the operation is tried again.
/// After kMaxCounts fruitless tries, because others write to the file, it is made under the gate.
/// For one thread.
class FileChange {
 public:
  /// Regions that one operation looks at under the gate at most.
  static constexpr std::size_t kGateRegions = 1024;
  static constexpr int kMaxCounts = 8;

  explicit FileChange(Head& head) : head_(head) {}

  /// Runs `body`, which runs one transaction with the calls below, until it needs no more counts.
  template <class Body>
  auto run(Body&& body) -> decltype(body()) {
    for (;;) {
      std::optional<Uncounted> uncounted;
      try {
        return body();
      } catch (const Uncounted& range) {
        uncounted = range;
      }
      count(*uncounted);
    }
  }

  /// `data` replaces the bytes at `offset`; it must stay valid until the commit. Whole blocks of
  /// zeros become holes. A partial block over older data is accepted only if that can be read:
  /// CorruptionError else. EDQUOT.
  void write(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t offset,
             ByteView data);
  /// The size becomes `size`; bytes that it adds read as zeros. EFBIG past kMaxFileBytes.
  void resize(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t size);
  /// The range, cut at the file's end, reads as zeros; its whole blocks hold nothing.
  void punch(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t offset,
             std::uint64_t size);
  /// The region shows `record`, or zeros without one. The size grows to its end if need be. EDQUOT.
  void share(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t region,
             const RegionRecord* record);

 private:
  /// Thrown under the gate before anything has changed.
  struct Uncounted {
    Ino ino{};
    std::uint64_t first = 0;  ///< block
    std::uint64_t last = 0;
  };
  /// The layers that a count is true for.
  struct Stamp {
    std::shared_ptr<const Base> base;
    std::vector<std::shared_ptr<const Overlay>> frozen;
    std::optional<std::uint64_t> active_changes;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  struct Counted {
    Uncounted range;
    Stamp stamp;
    std::uint64_t present = 0;
  };

  Stamp stamp(Ino ino) const REQUIRES(head_.gate());
  void count(const Uncounted& range);
  std::uint64_t count_present(FileView& view, Ino ino, std::uint64_t first, std::uint64_t last)
      REQUIRES(head_.gate());
  void spill(Transaction& transaction, Ino ino, InodeRecord& inode);
  void write_inline(Transaction& transaction, InodeRecord& inode, std::uint64_t offset,
                    ByteView data, std::uint64_t size);
  void write_blocks(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint64_t offset,
                    ByteView data) REQUIRES(head_.gate());
  /// Looks whether what a partly written block keeps can be read, so that damage there is the
  /// writer's error and not the commit's.
  void check_edges(FileView& view, std::uint64_t offset, std::uint64_t end, std::uint64_t size);
  void check_older(FileView& view, std::uint64_t begin, std::uint64_t end);

  Head& head_;
  Bytes spilled_;
  std::optional<Counted> counted_;
  int counts_ = 0;
};

/// Changes inode.allocated and the head's counters to `allocated`. EDQUOT if it grows past the
/// volume's limit.
void set_allocated(Transaction& transaction, InodeRecord& inode, std::uint64_t allocated);

}  // namespace varve
