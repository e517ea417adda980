// SPDX-License-Identifier: Apache-2.0
#include "fs/inodes.h"

#include <sys/stat.h>

#include <cerrno>

#include "fs/xattrs.h"
#include "store/base/error.h"

namespace varve {
namespace {

void count_inode(HeadInfoRecord& info) {
  if (info.quota_inodes != 0 && info.inodes >= info.quota_inodes) throw PosixError(EDQUOT);
  ++info.inodes;
}

/// POSIX 1003.1e, "Default ACLs": the default ACL of the directory takes the place of the umask.
void inherit_permissions(Transaction& transaction, Ino directory, const InodeRecord& parent,
                         std::uint32_t umask, MadeInode& made) {
  InodeRecord& inode = made.record;
  if (S_ISLNK(inode.mode)) return;
  std::optional<Acl> acl = find_acl(transaction, directory, parent, kDefaultAclName);
  if (!acl) {
    inode.mode &= ~(umask & 0777u);
    return;
  }
  const Bytes inherited_default = acl->serialize();
  inode.mode = acl->inherit(inode.mode);
  if (!acl->is_mode_only()) {
    put_xattr(transaction, made.ino, inode, kAccessAclName, acl->serialize());
  }
  if (S_ISDIR(inode.mode)) {
    put_xattr(transaction, made.ino, inode, kDefaultAclName, inherited_default);
  }
}

}  // namespace

MadeInode make_inode(Transaction& transaction, Ino directory, const InodeRecord& directory_inode,
                     const NewInode& request) {
  count_inode(transaction.head_info());
  MadeInode made;
  made.ino = transaction.new_ino();
  InodeRecord& inode = made.record;
  inode.mode = request.mode;
  inode.uid = request.caller.uid;
  inode.gid = request.caller.gid;
  if ((directory_inode.mode & S_ISGID) != 0) {
    inode.gid = directory_inode.gid;
    if (S_ISDIR(inode.mode)) inode.mode |= S_ISGID;
  }
  inode.nlink = S_ISDIR(inode.mode) ? 2 : 1;
  inode.rdev = request.rdev;
  inode.size = request.content.size();
  inode.content = Blob{request.content};
  inode.atime = inode.mtime = inode.ctime = inode.btime = request.now;
  inherit_permissions(transaction, directory, directory_inode, request.caller.umask, made);
  return made;
}

}  // namespace varve
