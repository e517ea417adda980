// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "fs/attached_volume.h"
#include "fs/attributes.h"
#include "fs/file_change.h"
#include "fs/file_io.h"
#include "fs/file_view.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::uint64_t kCopyBytes = 1 << 20;
/// Regions that one transaction shares at most.
constexpr std::uint64_t kShareRegions = 64;

bool aligned(std::uint64_t offset) { return offset % kRegionBytes == 0; }

}  // namespace

/// Shares whole regions that no generation has touched since the last commit: their pointers are in
/// the base and stay alive until the generation that holds the copy is committed, because commits
/// keep the order of generations. The rest is read and written.
std::uint64_t AttachedVolume::copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                         std::uint64_t to_offset, std::uint64_t size) {
  admit(0);
  const std::uint64_t from_size = view([&](Transaction& transaction) {
    const InodeRecord target = transaction.inode(to);
    require_regular(target);
    const InodeRecord source = transaction.inode(from);
    require_regular(source);
    return source.size;
  });
  if (from_offset >= from_size) return 0;
  size = std::min(size, from_size - from_offset);
  if (to_offset > kMaxFileBytes || size > kMaxFileBytes - to_offset) throw PosixError(EFBIG);
  if (from == to && from_offset < to_offset + size && to_offset < from_offset + size) {
    throw PosixError(EINVAL);
  }

  // One transaction; stops at the first region that has to be copied.
  const auto share = [&](std::uint64_t from_region, std::uint64_t to_region, std::uint64_t count) {
    FileChange file(head_);
    return file.run([&] {
      return change([&](Transaction& transaction) -> std::uint64_t {
        head_.gate().assert_held();
        const InodeRecord source = transaction.inode(from);
        InodeRecord target = transaction.inode(to);
        require_regular(target);
        if (is_inline_file(source)) return 0;
        FileView view(head_, from);
        std::uint64_t done = 0;
        while (done < count && (from_region + done + 1) * kRegionBytes <= source.size &&
               view.untouched(from_region + done)) {
          file.share(transaction, to, target, to_region + done,
                     view.base_region(from_region + done));
          ++done;
        }
        if (done == 0) return 0;
        drop_privileges(transaction, to, target, true);
        target.mtime = target.ctime = now();
        transaction.set_inode(to, target);
        return done;
      });
    });
  };

  std::uint64_t done = 0;
  Bytes buffer;
  while (done < size) {
    const std::uint64_t source = from_offset + done;
    const std::uint64_t target = to_offset + done;
    std::uint64_t shared = 0;
    if (aligned(source) && aligned(target) && size - done >= kRegionBytes) {
      shared = share(source / kRegionBytes, target / kRegionBytes,
                     std::min((size - done) / kRegionBytes, kShareRegions));
    }
    if (shared > 0) {
      done += shared * kRegionBytes;
      continue;
    }
    // Up to where sharing may begin again.
    std::uint64_t count = std::min(size - done, kCopyBytes);
    if (source % kRegionBytes == target % kRegionBytes) {
      count = std::min(count, kRegionBytes - source % kRegionBytes);
    }
    buffer.resize(count);
    const std::size_t got = read(from, source, buffer);
    if (got == 0) break;  // the source was cut meanwhile
    write(to, target, ByteView(buffer).first(got), true);
    done += got;
  }
  return done;
}

}  // namespace varve
