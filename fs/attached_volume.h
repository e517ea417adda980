// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fs/entries.h"
#include "fs/head.h"
#include "fs/lookups.h"
#include "fs/transaction.h"
#include "fs/volume.h"
#include "store/store.h"

namespace varve {

/// What the host's clock says.
Time system_time();

/// What an AttachedVolume works on. Members left empty get the default named with them.
struct AttachedVolumeSetup {
  std::shared_ptr<Head> head;
  /// The system's real-time clock.
  std::function<Time()> clock;
  /// Called outside every lock before an operation that stores about `bytes`: waits while too much
  /// is dirty, throws StoreError(ENOSPC) when the store is full. 0 bytes (what frees space) is
  /// never refused for lack of space. Default: Store::admit.
  std::function<void(std::uint64_t bytes)> admit;
  /// For statfs. Default: Store::figures.
  std::function<StoreFigures()> figures;
  /// The kernel holds lookups that an earlier process gave out (the keeper's takeover): unlinked
  /// inodes live until they are forgotten or drop_lookups() is called.
  bool resumed = false;
};

/// A volume in use: POSIX behaviour over one head. The operations' families have a file each:
/// attributes.cc, namespace.cc, rename.cc, orphans.cc, directory.cc, xattr.cc, and file_io*.cc for
/// the data. Promises and thread-safety as Volume says.
///
/// Reading never changes atime (as with the mount option noatime): the kernel does not tell a FUSE
/// file system what was served from its cache. utimensat is honoured.
/// A directory's size is the sum of its names' lengths, so 0 means empty.
class AttachedVolume : public Volume {
 public:
  /// Regions of a file that one transaction frees at most; bigger files are freed in steps.
  static constexpr std::size_t kFreeRegions = 1024;

  explicit AttachedVolume(AttachedVolumeSetup setup);
  ~AttachedVolume() override;

  std::optional<Attributes> lookup(Ino parent, std::string_view name) override;
  /// Never throws: what cannot be freed now is freed by free_orphans_step.
  void forget(Ino ino, std::uint64_t count) override;
  Attributes getattr(Ino ino) override;
  Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) override;
  std::string readlink(Ino ino) override;

  Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                       const Caller& caller) override;
  Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                            const Caller& caller) override;
  Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                          const Caller& caller) override;
  Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) override;
  Attributes link(Ino ino, Ino new_parent, std::string_view new_name) override;
  void unlink(Ino parent, std::string_view name) override;
  void rmdir(Ino parent, std::string_view name) override;
  void rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
              RenameMode mode) override;

  void read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                      const std::function<bool(const DirectoryEntry&)>& visit) override;

  std::size_t read(Ino ino, std::uint64_t offset, std::span<std::byte> out) override;
  void write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) override;
  void allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) override;
  std::uint64_t seek(Ino ino, std::uint64_t offset, SeekWhat what) override;
  std::uint64_t copy_range(Ino from, std::uint64_t from_offset, Ino to, std::uint64_t to_offset,
                           std::uint64_t size) override;

  void fsync(Ino ino) override;
  void sync() override;

  void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                 bool clear_setgid) override;
  std::optional<Bytes> get_xattr(Ino ino, std::string_view name) override;
  std::vector<std::string> list_xattrs(Ino ino) override;
  void remove_xattr(Ino ino, std::string_view name) override;

  FileSystemFigures statfs() override;
  bool read_only() const override { return head_.read_only(); }

  std::optional<AppliedRequest> applied_before(RequestId id) override {
    return head_.requests().earlier(id);
  }
  void answered(RequestId id) override { head_.requests().answered(id); }
  void end_resume() override { head_.requests().end_resume(); }

  /// Frees one unlinked inode that nobody uses, or part of a big one, in one transaction. False if
  /// there was none. For the repository's background thread: inodes that a crash left behind, and
  /// files too big to be freed at once.
  bool free_orphans_step();
  /// The mount is gone: no inode is in use any more. free_orphans_step then frees the unlinked.
  void drop_lookups();

  /// The head shows another state (Head::reset): orphans of that state which are in use live until
  /// they are forgotten, the others are left to free_orphans_step. The gate must be open.
  void rolled_back();

  Head& head() { return head_; }
  const std::shared_ptr<Head>& shared_head() const { return setup_.head; }

 private:
  Time now() const { return setup_.clock(); }
  /// EROFS on a read-only volume, then the setup's admission. Outside every lock.
  void admit(std::uint64_t bytes);
  /// Runs `body(Transaction&)` under the gate, again after WouldBlock, and commits.
  template <class Body>
  auto change(Body&& body);
  /// The same, then `after(result)` under the gate once the commit is done.
  template <class Body, class After>
  auto change(Body&& body, After&& after);
  /// The same without a commit, for reading.
  template <class Body>
  auto view(Body&& body);

  /// An inode that lost a name in a transaction.
  struct Retired {
    Ino ino{};
    bool kept = false;  ///< as an orphan, because it is in use or too big to be freed at once
  };
  /// Takes the name at `place` from the inode (not from the directory). Without another name the
  /// inode is freed or becomes an orphan. after_retire() must follow the commit, under the gate.
  Retired drop_link(Transaction& transaction, Ino ino, InodeRecord& inode, const Place& place,
                    const Time& now);
  void after_retire(const Retired& retired);
  /// After a takeover: the orphans that are there are in use.
  void hold_orphans();
  Attributes make(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                  Bytes content, const Caller& caller);
  void free_orphan(Ino ino);

  const AttachedVolumeSetup setup_;
  Head& head_;
  Lookups lookups_;
  /// There may be orphan records of inodes that nobody uses.
  std::atomic<bool> orphans_left_;
};

template <class Body>
auto AttachedVolume::change(Body&& body) {
  return head_.run([&] {
    head_.gate().assert_held();
    Transaction transaction(head_);
    if constexpr (std::is_void_v<decltype(body(transaction))>) {
      body(transaction);
      transaction.commit();
    } else {
      auto result = body(transaction);
      transaction.commit();
      return result;
    }
  });
}

template <class Body, class After>
auto AttachedVolume::change(Body&& body, After&& after) {
  return head_.run([&] {
    head_.gate().assert_held();
    Transaction transaction(head_);
    auto result = body(transaction);
    transaction.commit();
    after(result);
    return result;
  });
}

template <class Body>
auto AttachedVolume::view(Body&& body) {
  return head_.run([&] {
    head_.gate().assert_held();
    Transaction transaction(head_);
    return body(transaction);
  });
}

}  // namespace varve
