// SPDX-License-Identifier: Apache-2.0
#include "fs/attributes.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "fs/attached_volume.h"
#include "fs/file_change.h"
#include "fs/file_io.h"
#include "fs/xattrs.h"
#include "store/base/error.h"

namespace varve {

namespace {

constexpr std::uint32_t kModeBits = 07777;
/// Inodes are limited by space alone; df shows this many.
constexpr std::uint64_t kInodesShown = 1ull << 40;

Time time_of(const std::variant<SetAttributes::Now, Time>& time, const Time& now) {
  const Time* given = std::get_if<Time>(&time);
  return given != nullptr ? *given : now;
}

void change_owner(Transaction& transaction, Ino ino, InodeRecord& inode,
                  const SetAttributes& change) {
  if (!change.uid && !change.gid) return;
  if (change.uid) inode.uid = *change.uid;
  if (change.gid) inode.gid = *change.gid;
  if (!S_ISDIR(inode.mode)) drop_privileges(transaction, ino, inode, true);
}

/// chmod keeps an access ACL in step with the mode.
void change_mode(Transaction& transaction, Ino ino, InodeRecord& inode, std::uint32_t mode) {
  if (S_ISLNK(inode.mode)) throw PosixError(EOPNOTSUPP);
  inode.mode = (inode.mode & S_IFMT) | (mode & kModeBits);
  if ((inode.flags & InodeFlags::kHasAcl) == 0) return;
  std::optional<Acl> acl = find_acl(transaction, ino, inode, kAccessAclName);
  if (!acl) return;
  acl->change_mode(mode);
  put_xattr(transaction, ino, inode, kAccessAclName, acl->serialize());
}

void change_times(InodeRecord& inode, const SetAttributes& change, const Time& now) {
  if (change.atime) inode.atime = time_of(*change.atime, now);
  if (change.mtime) inode.mtime = time_of(*change.mtime, now);
  inode.ctime = change.ctime.value_or(now);
}

}  // namespace

Attributes attributes_of(Ino ino, const InodeRecord& inode) {
  Attributes out;
  out.ino = ino;
  out.mode = inode.mode;
  out.nlink = inode.nlink;
  out.uid = inode.uid;
  out.gid = inode.gid;
  out.rdev = inode.rdev;
  out.size = inode.size;
  out.blocks = (inode.allocated + 511) / 512;
  out.atime = inode.atime;
  out.mtime = inode.mtime;
  out.ctime = inode.ctime;
  out.btime = inode.btime;
  return out;
}

void clear_setid(InodeRecord& inode) {
  if (S_ISDIR(inode.mode)) return;
  inode.mode &= ~static_cast<std::uint32_t>(S_ISUID);
  if ((inode.mode & S_IXGRP) != 0) inode.mode &= ~static_cast<std::uint32_t>(S_ISGID);
}

void drop_privileges(Transaction& transaction, Ino ino, InodeRecord& inode, bool setid) {
  if (setid) clear_setid(inode);
  if ((inode.flags & InodeFlags::kHasCaps) != 0) {
    erase_xattr(transaction, ino, inode, kCapabilitiesName);
  }
}

void make_root(Transaction& transaction, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
               Time now) {
  InodeRecord root;
  root.mode = S_IFDIR | (mode & kModeBits);
  root.uid = uid;
  root.gid = gid;
  root.nlink = 2;
  root.parent = kRootIno;
  root.atime = root.mtime = root.ctime = root.btime = now;
  transaction.set_inode(kRootIno, root);
  transaction.head_info().inodes = 1;
}

Attributes AttachedVolume::getattr(Ino ino) {
  return view([&](Transaction& transaction) { return attributes_of(ino, transaction.inode(ino)); });
}

Attributes AttachedVolume::setattr(Ino ino, const SetAttributes& change, const Caller&) {
  admit(0);
  const Time time = now();
  FileChange file(head_);
  const auto apply = [&](Transaction& transaction) {
    InodeRecord inode = transaction.inode(ino);
    if (change.size) {
      require_regular(inode);
      file.resize(transaction, ino, inode, *change.size);
      drop_privileges(transaction, ino, inode, change.clear_setid);
      inode.mtime = time;
    } else if (change.clear_setid) {
      clear_setid(inode);
    }
    change_owner(transaction, ino, inode, change);
    if (change.mode) change_mode(transaction, ino, inode, *change.mode);
    change_times(inode, change, time);
    transaction.set_inode(ino, inode);
    return attributes_of(ino, inode);
  };
  return file.run([&] { return this->change(apply); });
}

FileSystemFigures AttachedVolume::statfs() {
  const StoreFigures store = setup_.figures();
  const HeadInfoRecord info =
      view([](Transaction& transaction) { return transaction.head_info(); });
  FileSystemFigures out;
  out.total_bytes = store.total_bytes;
  out.free_bytes = store.free_bytes;
  if (info.quota_bytes != 0) {
    const std::uint64_t used = std::min(info.logical_bytes, info.quota_bytes);
    out.total_bytes = info.quota_bytes;
    out.free_bytes = std::min(info.quota_bytes - used, store.free_bytes);
  }
  out.total_inodes = info.quota_inodes != 0 ? info.quota_inodes : kInodesShown;
  out.free_inodes = out.total_inodes - std::min(info.inodes, out.total_inodes);
  return out;
}

}  // namespace varve
