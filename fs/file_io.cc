// SPDX-License-Identifier: Apache-2.0
#include "fs/file_io.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fs/attached_volume.h"
#include "fs/attributes.h"
#include "fs/file_change.h"
#include "fs/file_view.h"
#include "store/base/error.h"

namespace varve {
namespace {

/// Longer writes (FUSE has none) are several transactions, so that none holds the gate for long.
constexpr std::size_t kTransactionBytes = 1 << 20;

/// How much of a write goes into one transaction. A seam lies where a block begins: half a block
/// would need its older half.
std::size_t part_bytes(std::uint64_t offset, std::size_t size) {
  return size <= kTransactionBytes ? size : kTransactionBytes - offset % kBlockBytes;
}

}  // namespace

void require_regular(const InodeRecord& inode) {
  if (S_ISDIR(inode.mode)) throw PosixError(EISDIR);
  if (!S_ISREG(inode.mode)) throw PosixError(EINVAL);
}

std::size_t AttachedVolume::read(Ino ino, std::uint64_t offset, std::span<std::byte> out) {
  std::vector<Piece> pieces;
  std::shared_ptr<const Base> base;  // keeps the objects of the pieces
  const std::size_t size = view([&](Transaction& transaction) -> std::size_t {
    pieces.clear();
    const InodeRecord inode = transaction.inode(ino);
    require_regular(inode);
    if (offset >= inode.size) return 0;
    const std::size_t count = std::min<std::uint64_t>(out.size(), inode.size - offset);
    if (is_inline_file(inode)) {
      std::memcpy(out.data(), inode.content.bytes().data() + offset, count);
      return count;
    }
    head_.gate().assert_held();
    FileView(head_, ino).read(offset, out.first(count), pieces);
    base = head_.base();
    return count;
  });
  fetch_pieces(head_.store().objects(), pieces, out);
  return size;
}

void AttachedVolume::write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) {
  if (offset > kMaxFileBytes || data.size() > kMaxFileBytes - offset) throw PosixError(EFBIG);
  while (!data.empty()) {
    const ByteView part = data.first(part_bytes(offset, data.size()));
    admit(part.size());
    FileChange file(head_);
    file.run([&] {
      change([&](Transaction& transaction) {
        InodeRecord inode = transaction.inode(ino);
        require_regular(inode);
        file.write(transaction, ino, inode, offset, part);
        drop_privileges(transaction, ino, inode, clear_setid);
        inode.mtime = inode.ctime = now();
        transaction.set_inode(ino, inode);
      });
    });
    offset += part.size();
    data = data.subspan(part.size());
  }
}

}  // namespace varve
