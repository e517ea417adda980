// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "fs/attached_volume.h"
#include "fs/attributes.h"
#include "fs/entries.h"
#include "fs/inodes.h"
#include "fs/xattrs.h"
#include "store/base/error.h"

namespace varve {
namespace {

/// What a new entry costs in the store, about.
constexpr std::uint64_t kEntryAdmission = 4096;
/// PATH_MAX less the zero byte.
constexpr std::size_t kMaxTargetBytes = 4095;

/// The directory, to put a new name into: one that was removed takes none.
InodeRecord open_directory(Transaction& transaction, Ino ino) {
  InodeRecord directory = directory_inode(transaction, ino);
  if (directory.nlink == 0) throw PosixError(ENOENT);
  return directory;
}

/// Checks everything that POSIX asks of a new name, before anything is changed.
InodeRecord check_new_name(Transaction& transaction, Ino parent, std::string_view name) {
  InodeRecord directory = open_directory(transaction, parent);
  if (is_dot(name) || find_entry(transaction, parent, name)) throw PosixError(EEXIST);
  return directory;
}

/// Gives `inode` the name and updates the directory; sets both.
void give_name(Transaction& transaction, Ino parent, InodeRecord& directory, std::string_view name,
               Ino ino, InodeRecord& inode, const Time& now) {
  const DirentRecord record{ino, inode.mode & S_IFMT, std::string(name)};
  const std::uint64_t cookie = insert_entry(transaction, parent, record);
  add_place(transaction, ino, inode, {parent, cookie, name});
  if (S_ISDIR(inode.mode)) {
    if (directory.nlink >= kMaxLinks) throw PosixError(EMLINK);
    ++directory.nlink;
  }
  directory.size += name.size();
  directory.mtime = directory.ctime = now;
  transaction.set_inode(parent, directory);
  transaction.set_inode(ino, inode);
}

/// Takes the name from the directory; the caller takes it from the inode.
void take_name(Transaction& transaction, Ino parent, InodeRecord& directory, const Entry& entry,
               const Time& now) {
  erase_entry(transaction, parent, entry.cookie);
  directory.size -= entry.record.name.size();
  directory.mtime = directory.ctime = now;
}

Entry existing_entry(Transaction& transaction, Ino parent, std::string_view name) {
  std::optional<Entry> entry = find_entry(transaction, parent, name);
  if (!entry) throw PosixError(ENOENT);
  return *std::move(entry);
}

std::uint32_t node_mode(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case 0:
      return mode | S_IFREG;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      return mode;
    case S_IFDIR:
      throw PosixError(EPERM);
    default:
      throw PosixError(EINVAL);
  }
}

}  // namespace

std::optional<Attributes> AttachedVolume::lookup(Ino parent, std::string_view name) {
  check_name(name);
  return view([&](Transaction& transaction) -> std::optional<Attributes> {
    const InodeRecord directory = directory_inode(transaction, parent);
    Ino ino = parent;
    if (name == "..") {
      ino = directory.parent;
    } else if (name != ".") {
      const std::optional<Entry> entry = find_entry(transaction, parent, name);
      if (!entry) return std::nullopt;
      ino = entry->record.ino;
    }
    const Attributes out = attributes_of(ino, transaction.inode(ino));
    lookups_.add(ino);
    return out;
  });
}

std::string AttachedVolume::readlink(Ino ino) {
  return view([&](Transaction& transaction) {
    const InodeRecord inode = transaction.inode(ino);
    if (!S_ISLNK(inode.mode)) throw PosixError(EINVAL);
    return std::string(as_text(blob_bytes(transaction, inode.content)));
  });
}

Attributes AttachedVolume::make(Ino parent, std::string_view name, std::uint32_t mode,
                                std::uint64_t rdev, Bytes content, const Caller& caller) {
  check_name(name);
  admit(kEntryAdmission + content.size());
  const NewInode request{mode, rdev, std::move(content), caller, now()};
  return change(
      [&](Transaction& transaction) {
        InodeRecord directory = check_new_name(transaction, parent, name);
        MadeInode made = make_inode(transaction, parent, directory, request);
        give_name(transaction, parent, directory, name, made.ino, made.record, request.now);
        return attributes_of(made.ino, made.record);
      },
      [&](const Attributes& made) { lookups_.add(made.ino); });
}

Attributes AttachedVolume::make_node(Ino parent, std::string_view name, std::uint32_t mode,
                                     std::uint64_t rdev, const Caller& caller) {
  const bool device = S_ISCHR(mode) || S_ISBLK(mode);
  return make(parent, name, node_mode(mode & (S_IFMT | 07777)), device ? rdev : 0, {}, caller);
}

Attributes AttachedVolume::make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                                          const Caller& caller) {
  return make(parent, name, S_IFDIR | (mode & 07777), 0, {}, caller);
}

Attributes AttachedVolume::make_symlink(Ino parent, std::string_view name, std::string_view target,
                                        const Caller& caller) {
  if (target.empty()) throw PosixError(ENOENT);
  if (target.size() > kMaxTargetBytes) throw PosixError(ENAMETOOLONG);
  const ByteView bytes = as_bytes(target);
  return make(parent, name, S_IFLNK | 0777, 0, Bytes(bytes.begin(), bytes.end()), caller);
}

Attributes AttachedVolume::make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) {
  admit(kEntryAdmission);
  const NewInode request{S_IFREG | (mode & 07777), 0, {}, caller, now()};
  return change(
      [&](Transaction& transaction) {
        const InodeRecord directory = open_directory(transaction, parent);
        MadeInode made = make_inode(transaction, parent, directory, request);
        made.record.nlink = 0;
        transaction.set_inode(made.ino, made.record);
        transaction.set(orphan_key(made.ino), {});
        return attributes_of(made.ino, made.record);
      },
      [&](const Attributes& made) {
        lookups_.add(made.ino);
        after_retire({made.ino, true});
      });
}

Attributes AttachedVolume::link(Ino ino, Ino new_parent, std::string_view new_name) {
  check_name(new_name);
  admit(kEntryAdmission);
  const Time time = now();
  return change(
      [&](Transaction& transaction) {
        InodeRecord inode = transaction.inode(ino);
        InodeRecord directory = check_new_name(transaction, new_parent, new_name);
        if (S_ISDIR(inode.mode)) throw PosixError(EPERM);
        if (inode.nlink >= kMaxLinks) throw PosixError(EMLINK);
        if (inode.nlink == 0) transaction.erase(orphan_key(ino));
        ++inode.nlink;
        inode.ctime = time;
        give_name(transaction, new_parent, directory, new_name, ino, inode, time);
        return attributes_of(ino, inode);
      },
      [&](const Attributes& linked) {
        lookups_.add(linked.ino);
        lookups_.unmark_orphan(linked.ino);
      });
}

void AttachedVolume::unlink(Ino parent, std::string_view name) {
  check_name(name);
  if (is_dot(name)) throw PosixError(EISDIR);
  admit(0);
  const Time time = now();
  change(
      [&](Transaction& transaction) {
        InodeRecord directory = directory_inode(transaction, parent);
        const Entry entry = existing_entry(transaction, parent, name);
        const Ino ino = entry.record.ino;
        InodeRecord inode = transaction.inode(ino);
        if (S_ISDIR(inode.mode)) throw PosixError(EISDIR);
        take_name(transaction, parent, directory, entry, time);
        transaction.set_inode(parent, directory);
        return drop_link(transaction, ino, inode, {parent, entry.cookie, name}, time);
      },
      [&](const Retired& retired) { after_retire(retired); });
}

void AttachedVolume::rmdir(Ino parent, std::string_view name) {
  check_name(name);
  if (name == ".") throw PosixError(EINVAL);
  if (name == "..") throw PosixError(ENOTEMPTY);
  admit(0);
  const Time time = now();
  change(
      [&](Transaction& transaction) {
        InodeRecord directory = directory_inode(transaction, parent);
        const Entry entry = existing_entry(transaction, parent, name);
        const Ino ino = entry.record.ino;
        InodeRecord inode = directory_inode(transaction, ino);
        if (inode.size != 0) throw PosixError(ENOTEMPTY);
        take_name(transaction, parent, directory, entry, time);
        --directory.nlink;
        transaction.set_inode(parent, directory);
        return drop_link(transaction, ino, inode, {parent, entry.cookie, name}, time);
      },
      [&](const Retired& retired) { after_retire(retired); });
}

}  // namespace varve
