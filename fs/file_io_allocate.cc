// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "fs/attached_volume.h"
#include "fs/attributes.h"
#include "fs/file_change.h"
#include "fs/file_io.h"
#include "store/base/error.h"

namespace varve {
namespace {

bool extends(AllocateMode mode) {
  return mode == AllocateMode::kExtend || mode == AllocateMode::kZeroRange;
}

bool zeroes(AllocateMode mode) {
  return mode != AllocateMode::kExtend && mode != AllocateMode::kKeepSize;
}

/// Space is not set aside: every write is admitted by itself. What certainly cannot fit is refused.
void check_quota(Transaction& transaction, const InodeRecord& inode, std::uint64_t end) {
  if (end <= inode.size) return;
  const HeadInfoRecord& info = transaction.head_info();
  if (info.quota_bytes == 0) return;
  const std::uint64_t free = info.quota_bytes - std::min(info.quota_bytes, info.logical_bytes);
  if (end - inode.size > free) throw PosixError(EDQUOT);
}

}  // namespace

void AttachedVolume::allocate(Ino ino, AllocateMode mode, std::uint64_t offset,
                              std::uint64_t size) {
  if (size == 0) throw PosixError(EINVAL);
  if (offset > kMaxFileBytes || size > kMaxFileBytes - offset) throw PosixError(EFBIG);
  const std::uint64_t end = offset + size;
  admit(mode == AllocateMode::kPunchHole ? 0 : zeroes(mode) ? kBlockBytes : size);
  FileChange file(head_);
  file.run([&] {
    change([&](Transaction& transaction) {
      InodeRecord inode = transaction.inode(ino);
      require_regular(inode);
      if (!zeroes(mode)) check_quota(transaction, inode, end);
      if (zeroes(mode)) file.punch(transaction, ino, inode, offset, size);
      if (extends(mode) && end > inode.size) file.resize(transaction, ino, inode, end);
      drop_privileges(transaction, ino, inode, true);
      inode.mtime = inode.ctime = now();
      transaction.set_inode(ino, inode);
    });
  });
}

}  // namespace varve
