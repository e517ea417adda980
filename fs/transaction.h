// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "fs/head.h"
#include "snapshot/record.h"

namespace varve {

/// One operation's reads and changes on a head. Reads see the changes already made in it. Nothing
/// reaches the head before commit(), so a body that throws (WouldBlock, PosixError) leaves no
/// trace. Nothing may be done with it after commit(). Lives under the head's gate, in one thread.
class Transaction {
 public:
  /// The caller is inside Head::run of `head`.
  explicit Transaction(Head& head);

  // Records
  std::optional<Bytes> find(const Key& key);
  void set(const Key& key, Bytes value);
  void erase(const Key& key);
  void scan(const Key& first, const Key& last,
            const std::function<bool(const Key&, ByteView)>& visit);

  /// The inode, or none.
  std::optional<InodeRecord> find_inode(Ino ino);
  /// The inode; PosixError(ESTALE) if absent.
  InodeRecord inode(Ino ino);
  void set_inode(Ino ino, const InodeRecord& record);
  /// The head's counters; changes to the reference are written by commit().
  HeadInfoRecord& head_info();
  /// A number never used before in this head or its ancestors.
  Ino new_ino();

  // File data; the caller changes size, allocated and times in the inode record itself.
  /// `data` must stay valid until commit().
  void write(Ino ino, std::uint64_t offset, ByteView data);
  void punch(Ino ino, std::uint64_t offset, std::uint64_t size);
  void cut(Ino ino, std::uint64_t size);
  void share(Ino ino, std::uint64_t region, const RegionRecord& record);
  /// Keys of the file's region records, at most `limit`: those that exist, and those that the
  /// commit of a frozen generation is about to make.
  std::vector<Key> region_keys(Ino ino, std::size_t limit);
  /// Forgets what this generation wrote to the file.
  void drop_data(Ino ino);
  /// Removes inode, xattr, linkref and region records and data; counters too. `inode` is its last
  /// state. Takes time in proportion to the regions: see AttachedVolume::kFreeRegions.
  void free_inode(Ino ino, const InodeRecord& inode);

  /// Appends one kOperation record to the journal, then applies the changes to the active overlay.
  /// A transaction without changes appends nothing. EROFS on a read-only head.
  void commit();

  Head& head() { return head_; }

 private:
  struct DataChange {
    enum class What : std::uint8_t { kWrite, kPunch, kCut, kShare, kDrop };
    What what{};
    Ino ino{};
    std::uint64_t offset = 0;  ///< or region
    std::uint64_t size = 0;
    ByteView data;
    RegionRecord region;
  };
  friend class OperationCodec;

  Head& head_;
  std::map<Key, std::optional<Bytes>> records_;
  std::vector<DataChange> data_;
  RequestId request_ = kNoRequest;
  std::optional<HeadInfoRecord> head_info_;
  HeadInfoRecord head_info_before_;
};

/// The payload of a kOperation record: volume id, then the changes (docs/format.md, "Operations").
/// Replaying is idempotent: records are absolute values.
class OperationCodec {
 public:
  /// The volume that an operation belongs to. CorruptionError on malformed bytes.
  static VolumeId volume_of(ByteView payload);
  /// Applies an encoded operation to `overlay`, as commit() did. CorruptionError on malformed
  /// bytes, with nothing applied. The caller sets overlay.first_lsn.
  static void replay(ByteView payload, Overlay& overlay);
  /// The request that the operation belongs to, without its LSN; none if it was nobody's.
  /// CorruptionError on malformed bytes.
  static std::optional<AppliedRequest> request_of(ByteView payload);

 private:
  friend class Transaction;
  using DataChange = Transaction::DataChange;
  using Records = std::map<Key, std::optional<Bytes>>;

  /// Everything but the bytes of writes, which follow it in the order of the writes.
  static Bytes encode_header(const Transaction& transaction);
  static Lsn append(const Transaction& transaction, JournalAppender& journal);
  /// Never fails: what the journal accepted must be applied, so running out of memory ends the
  /// process and the journal is replayed.
  static void apply(Transaction& transaction, Overlay& overlay) noexcept;
  static void apply(Records&& records, const std::vector<DataChange>& data, Overlay& overlay);
  static DataChange decode_change(ByteReader& in);
  struct Decoded;
  static Decoded decode(ByteView payload);
};

}  // namespace varve
