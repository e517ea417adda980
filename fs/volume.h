// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fs/requests.h"
#include "snapshot/key.h"
#include "snapshot/record.h"

namespace varve {

/// Who asks. Permission checks are the kernel's (default_permissions); the volume needs the caller
/// for owners of new files, setgid inheritance and clearing of setuid bits.
struct Caller {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t umask = 0;  ///< applied to new files unless the parent has a default ACL
};

/// What stat(2) shows.
struct Attributes {
  Ino ino{};
  std::uint32_t mode = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t rdev = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;  ///< of 512 bytes
  Time atime, mtime, ctime, btime;
  bool brief = false;  ///< may be otherwise a moment later, by nobody's request: not to be cached
};

/// What setattr changes. Times: kNow takes the volume's clock.
struct SetAttributes {
  struct Now {};
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<std::variant<Now, Time>> atime;
  std::optional<std::variant<Now, Time>> mtime;
  std::optional<Time> ctime;  ///< the kernel's write-back cache sends it
  bool clear_setid = false;   ///< FATTR_KILL_SUIDGID: clear setuid, and setgid if group-executable
};

/// One entry that readdir hands out.
struct DirectoryEntry {
  std::string_view name;  ///< valid during the call only
  Ino ino{};
  std::uint32_t type = 0;                  ///< S_IFMT bits
  std::uint64_t cookie = 0;                ///< give it to readdir to go on after this entry
  const Attributes* attributes = nullptr;  ///< with readdirplus; none for the dots
};

enum class RenameMode { kReplace, kNoReplace, kExchange };
enum class SeekWhat { kData, kHole };
enum class XattrMode { kAny, kCreate, kReplace };

/// What fallocate does with the range.
enum class AllocateMode {
  kExtend,     ///< allocate; the size grows if needed
  kKeepSize,   ///< allocate; the size stays
  kPunchHole,  ///< the range reads as zeros and holds no storage; the size stays
  kZeroRange,  ///< the range reads as zeros; the size grows if needed
  kZeroRangeKeepSize,
};

struct FileSystemFigures {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t total_inodes = 0;
  std::uint64_t free_inodes = 0;
};

/// One mounted volume (or snapshot): POSIX behaviour, one method per operation, no knowledge of
/// FUSE. Safe to share between threads; each operation is atomic, and acknowledged means it
/// survives kill -9 of the process. POSIX refusals are PosixError, a read-only volume refuses every
/// change with EROFS, damaged data is CorruptionError (EIO), a full store StoreError(ENOSPC), quota
/// PosixError(EDQUOT → ENOSPC where POSIX has no EDQUOT: see durability.md).
///
/// Entries: lookup, make_node, make_directory, make_symlink, link, make_temporary and
/// read_directory with attributes each count one lookup of the inode they return (the dots
/// excepted); forget takes them back. An unlinked inode lives while lookups are counted.
class Volume {
 public:
  virtual ~Volume() = default;

  virtual std::optional<Attributes> lookup(Ino parent, std::string_view name) = 0;
  virtual void forget(Ino ino, std::uint64_t count) = 0;
  virtual Attributes getattr(Ino ino) = 0;
  virtual Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) = 0;
  virtual std::string readlink(Ino ino) = 0;

  /// Regular file, fifo, socket or device, by the type bits of `mode` (none: regular).
  virtual Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode,
                               std::uint64_t rdev, const Caller& caller) = 0;
  virtual Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                                    const Caller& caller) = 0;
  virtual Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                                  const Caller& caller) = 0;
  /// O_TMPFILE: a regular file without a name; link may give it one.
  virtual Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) = 0;
  virtual Attributes link(Ino ino, Ino new_parent, std::string_view new_name) = 0;
  virtual void unlink(Ino parent, std::string_view name) = 0;
  virtual void rmdir(Ino parent, std::string_view name) = 0;
  virtual void rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
                      RenameMode mode) = 0;

  /// Hands out the entries after `cookie` (0: from the start, dots first) until `visit` returns
  /// false for one, which is then not counted as handed out. Never skips or repeats an entry that
  /// exists throughout, whatever changes meanwhile. `with_attributes` is readdirplus.
  virtual void read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                              const std::function<bool(const DirectoryEntry&)>& visit) = 0;

  /// Reads up to out.size() bytes, fewer at the end of the file; returns the count.
  virtual std::size_t read(Ino ino, std::uint64_t offset, std::span<std::byte> out) = 0;
  /// Writes all of `data`. `clear_setid`: FUSE_WRITE_KILL_SUIDGID. Always drops
  /// security.capability. EFBIG past the largest size (2^63-1-128 KiB).
  virtual void write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) = 0;
  virtual void allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) = 0;
  /// ENXIO past the end, as lseek(2).
  virtual std::uint64_t seek(Ino ino, std::uint64_t offset, SeekWhat what) = 0;
  /// Shares whole aligned regions instead of copying; returns bytes copied (all, or up to the
  /// source's end).
  virtual std::uint64_t copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                   std::uint64_t to_offset, std::uint64_t size) = 0;

  /// What was acknowledged for `ino`, and every namespace operation before it, survives power loss.
  virtual void fsync(Ino ino) = 0;
  /// The same for the whole volume.
  virtual void sync() = 0;

  virtual void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                         bool clear_setgid) = 0;
  /// none: ENODATA.
  virtual std::optional<Bytes> get_xattr(Ino ino, std::string_view name) = 0;
  virtual std::vector<std::string> list_xattrs(Ino ino) = 0;
  virtual void remove_xattr(Ino ino, std::string_view name) = 0;

  virtual FileSystemFigures statfs() = 0;
  virtual bool read_only() const = 0;

  // What makes a request that the kernel sends again happen once: see Requests, and RequestScope
  // for how the operations know theirs.
  /// An earlier process has applied the request, so it must only be answered.
  virtual std::optional<AppliedRequest> applied_before(RequestId id) = 0;
  /// The kernel has the answer.
  virtual void answered(RequestId id) = 0;
  /// The kernel has sent everything again that it had to, and all of it was answered.
  virtual void end_resume() = 0;
};

inline constexpr std::size_t kMaxNameBytes = 255;
inline constexpr std::size_t kMaxXattrBytes = 64 * 1024;
inline constexpr std::uint64_t kMaxFileBytes = (1ull << 63) - 1 - kRegionBytes;

}  // namespace varve
