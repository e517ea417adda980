// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "fs/attached_volume.h"
#include "fs/entries.h"
#include "store/base/error.h"

namespace varve {
namespace {

/// One rename while it is checked and staged: the two directories (maybe the same one), what is
/// moved, and what was at the new name.
class Renaming {
 public:
  struct Side {
    Ino directory{};
    std::string_view name;
  };

  Renaming(Transaction& transaction, const Side& from, const Side& to, const Time& now)
      : transaction_(transaction),
        from_(from),
        to_(to),
        now_(now),
        from_directory_(directory_inode(transaction, from.directory)) {
    if (!same_directory()) to_other_directory_ = directory_inode(transaction, to.directory);
    source_entry_ = find_entry(transaction, from.directory, from.name);
    if (!source_entry_) throw PosixError(ENOENT);
    target_entry_ = find_entry(transaction, to.directory, to.name);
    source_ = transaction.inode(source_ino());
    if (target_entry_) target_ = transaction.inode(target_ino());
  }

  /// POSIX's refusals, in Linux's order. False if there is nothing to do: both names are one file.
  bool check(RenameMode mode) const {
    const bool exchange = mode == RenameMode::kExchange;
    if (target_entry_ && mode == RenameMode::kNoReplace) throw PosixError(EEXIST);
    if (!target_entry_ && exchange) throw PosixError(ENOENT);
    check_ancestors(exchange);
    if (target_entry_ && target_ino() == source_ino()) return false;
    if (to_directory().nlink == 0) throw PosixError(ENOENT);
    if (!exchange) check_replace();
    check_links(exchange);
    return true;
  }

  void exchange() {
    replace_entry(transaction_, from_.directory, *source_entry_, target_ino(), type_of(target_));
    replace_entry(transaction_, to_.directory, *target_entry_, source_ino(), type_of(source_));
    move(source_ino(), source_, source_place(), target_place());
    move(target_ino(), target_, target_place(), source_place());
    if (!same_directory()) {
      count_subdirectories(source_is_directory(), target_is_directory());
    }
    finish();
  }

  /// Moves the source into a free name.
  void move_to_free() {
    const std::uint64_t cookie = insert_entry(
        transaction_, to_.directory, {source_ino(), type_of(source_), std::string(to_.name)});
    to_directory().size += to_.name.size();
    take_source(Place{to_.directory, cookie, to_.name});
    if (!same_directory()) count_subdirectories(source_is_directory(), false);
    finish();
  }

  /// Moves the source over the target, which is left without this name: the caller drops the link.
  void move_over() {
    replace_entry(transaction_, to_.directory, *target_entry_, source_ino(), type_of(source_));
    take_source(target_place());
    if (target_is_directory()) --to_directory().nlink;
    if (!same_directory()) count_subdirectories(source_is_directory(), false);
    finish();
  }

  bool has_target() const { return target_entry_.has_value(); }
  Ino target_ino() const { return target_entry_->record.ino; }
  InodeRecord& target() { return target_; }
  Place target_place() const { return {to_.directory, target_entry_->cookie, to_.name}; }

 private:
  static std::uint32_t type_of(const InodeRecord& inode) { return inode.mode & S_IFMT; }
  bool same_directory() const { return from_.directory == to_.directory; }
  Ino source_ino() const { return source_entry_->record.ino; }
  Place source_place() const { return {from_.directory, source_entry_->cookie, from_.name}; }
  bool source_is_directory() const { return S_ISDIR(source_.mode); }
  bool target_is_directory() const { return target_entry_ && S_ISDIR(target_.mode); }
  InodeRecord& to_directory() {
    return to_other_directory_ ? *to_other_directory_ : from_directory_;
  }
  const InodeRecord& to_directory() const {
    return to_other_directory_ ? *to_other_directory_ : from_directory_;
  }

  /// True if `ancestor` is `ino` or above it.
  bool is_within(Ino ino, Ino ancestor) const {
    while (ino != ancestor) {
      if (ino == kRootIno) return false;
      const Ino parent = transaction_.inode(ino).parent;
      if (parent == ino) return false;
      ino = parent;
    }
    return true;
  }

  /// No directory moves into itself, and none that holds the source is replaced.
  void check_ancestors(bool exchange) const {
    if (same_directory()) return;
    if (source_is_directory() && is_within(to_.directory, source_ino())) throw PosixError(EINVAL);
    if (target_is_directory() && is_within(from_.directory, target_ino())) {
      throw PosixError(exchange ? EINVAL : ENOTEMPTY);
    }
  }

  void check_replace() const {
    if (!target_entry_) return;
    if (source_is_directory() && !target_is_directory()) throw PosixError(ENOTDIR);
    if (!source_is_directory() && target_is_directory()) throw PosixError(EISDIR);
    if (target_is_directory() && target_.size != 0) throw PosixError(ENOTEMPTY);
  }

  void check_links(bool exchange) const {
    if (same_directory()) return;
    const bool to_gains = source_is_directory() && !target_is_directory();
    const bool from_gains = exchange && target_is_directory() && !source_is_directory();
    if (to_gains && to_directory().nlink >= kMaxLinks) throw PosixError(EMLINK);
    if (from_gains && from_directory_.nlink >= kMaxLinks) throw PosixError(EMLINK);
  }

  void take_source(const Place& to) {
    erase_entry(transaction_, from_.directory, source_entry_->cookie);
    from_directory_.size -= from_.name.size();
    move(source_ino(), source_, source_place(), to);
  }

  void move(Ino ino, InodeRecord& inode, const Place& from, const Place& to) {
    remove_place(transaction_, ino, inode, from);
    add_place(transaction_, ino, inode, to);
    inode.ctime = now_;
    transaction_.set_inode(ino, inode);
  }

  /// A subdirectory counts in its parent's links, by its "..".
  void count_subdirectories(bool moved_to, bool moved_from) {
    if (moved_to) {
      --from_directory_.nlink;
      ++to_directory().nlink;
    }
    if (moved_from) {
      --to_directory().nlink;
      ++from_directory_.nlink;
    }
  }

  void finish() {
    from_directory_.mtime = from_directory_.ctime = now_;
    to_directory().mtime = to_directory().ctime = now_;
    transaction_.set_inode(from_.directory, from_directory_);
    transaction_.set_inode(to_.directory, to_directory());
  }

  Transaction& transaction_;
  const Side from_;
  const Side to_;
  const Time now_;
  InodeRecord from_directory_;
  std::optional<InodeRecord> to_other_directory_;  ///< none: the same directory
  std::optional<Entry> source_entry_;
  std::optional<Entry> target_entry_;
  InodeRecord source_;
  InodeRecord target_;
};

}  // namespace

void AttachedVolume::rename(Ino parent, std::string_view name, Ino new_parent,
                            std::string_view new_name, RenameMode mode) {
  check_name(name);
  check_name(new_name);
  if (is_dot(name)) throw PosixError(EBUSY);
  if (is_dot(new_name)) throw PosixError(mode == RenameMode::kNoReplace ? EEXIST : EBUSY);
  admit(0);
  const Time time = now();
  change(
      [&](Transaction& transaction) {
        Renaming renaming(transaction, {parent, name}, {new_parent, new_name}, time);
        Retired retired;
        if (!renaming.check(mode)) return retired;
        if (mode == RenameMode::kExchange) {
          renaming.exchange();
        } else if (!renaming.has_target()) {
          renaming.move_to_free();
        } else {
          renaming.move_over();
          retired = drop_link(transaction, renaming.target_ino(), renaming.target(),
                              renaming.target_place(), time);
        }
        return retired;
      },
      [&](const Retired& retired) { after_retire(retired); });
}

}  // namespace varve
