// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_adapter.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "mountd/fuse_answer.h"
#include "mountd/fuse_init.h"
#include "mountd/fuse_write.h"
#include "mountd/fuse_xattr.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::size_t kLargestReply = 1u << 20;

/// Without ids that mean anything where mounts may be id-mapped.
Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {context->uid, context->gid, context->umask};
}

/// Who will own what the request makes. EOVERFLOW for one that an id-mapped mount has no id for.
Caller creator_of(fuse_req_t request) {
  constexpr std::uint32_t kNobody = 0xffffffff;
  const Caller caller = caller_of(request);
  if (caller.uid == kNobody || caller.gid == kNobody) throw PosixError(EOVERFLOW);
  return caller;
}

Time to_time(const timespec& time) {
  return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

/// Memory for a reply of up to `size` bytes: the ring's own, or a buffer of the thread.
std::span<std::byte> reply_buffer([[maybe_unused]] fuse_req_t request, std::size_t size) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)
  char* payload = nullptr;
  std::size_t payload_bytes = 0;
  if (over_uring(request) && fuse_req_get_payload(request, &payload, &payload_bytes, nullptr) == 0)
    return {reinterpret_cast<std::byte*>(payload), std::min(size, payload_bytes)};
#endif
  thread_local std::unique_ptr<std::byte[]> buffer;
  if (buffer == nullptr) buffer = std::make_unique_for_overwrite<std::byte[]>(kLargestReply);
  return {buffer.get(), std::min(size, kLargestReply)};
}

/// Answers a request that we do not serve; the kernel does not ask again after ENOSYS.
template <RequestType kType, int kCode>
void refuse(fuse_req_t request) {
  begin(request, kType);
  fuse_reply_err(request, kCode);
}

// Names.

std::uint32_t thread_of(fuse_req_t request) {
  return static_cast<std::uint32_t>(fuse_req_ctx(request)->pid);
}

/// What the kernel may be told of an inode that was found: a directory may have changed meanwhile.
Attributes fresh(fuse_req_t request, const Attributes& found) {
  if (!S_ISDIR(found.mode)) return found;
  FuseConnection& connection = connection_of(request);
  connection.races.tell(found.ino, thread_of(request));
  try {
    return connection.volume->getattr(found.ino);
  } catch (const Error&) {
    return found;  // gone since: what was found is as good as anything
  }
}

/// `directory` has been changed by the request, which is not answered yet.
void changed(fuse_req_t request, fuse_ino_t directory) {
  FuseConnection& connection = connection_of(request);
  const Ino ino{directory};
  if (connection.races.changed(ino, thread_of(request))) connection.caches.drop(ino);
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  FuseConnection& connection = begin(request, RequestType::kLookup);
  std::optional<Attributes> found;
  answer(request, [&]() -> std::variant<NewName, NoName> {
    found = connection.volume->lookup(Ino{parent}, name);
    if (found) found = fresh(request, *found);
    if (found) return NewName{Ino{parent}, name, *found};
    return NoName{Ino{parent}, name};
  });
}

void forget(fuse_req_t request, fuse_ino_t ino, std::uint64_t count) {
  begin(request, RequestType::kForget).volume->forget(Ino{ino}, count);
  fuse_reply_none(request);
}

void forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
  FuseConnection& connection = begin(request, RequestType::kForget);
  for (std::size_t i = 0; i < count; ++i)
    connection.volume->forget(Ino{forgets[i].ino}, forgets[i].nlookup);
  fuse_reply_none(request);
}

/// Answers a request that gives an inode a name.
template <class Make>
void answer_name(fuse_req_t request, fuse_ino_t parent, const char* name, const Make& make) {
  const auto reply = [&](const Attributes& made) {
    changed(request, parent);
    return NewName{Ino{parent}, name, made};
  };
  answer_once(
      request, [&] { return reply(make(volume_of(request))); },
      [&](const AppliedRequest& earlier) {
        return reply(volume_of(request).getattr(earlier.made));
      });
}

/// Answers a request after which `directories` are not as they were.
template <class Change>
void answer_changed(fuse_req_t request, std::initializer_list<fuse_ino_t> directories,
                    const Change& change) {
  const auto reply = [&] {
    for (const fuse_ino_t directory : directories) changed(request, directory);
    return Done{};
  };
  answer_once(
      request,
      [&] {
        change(volume_of(request));
        return reply();
      },
      [&](const AppliedRequest&) { return reply(); });
}

void mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  begin(request, RequestType::kMknod);
  answer_name(request, parent, name, [&](Volume& volume) {
    return volume.make_node(Ino{parent}, name, mode, device, creator_of(request));
  });
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  begin(request, RequestType::kMkdir);
  answer_name(request, parent, name, [&](Volume& volume) {
    return volume.make_directory(Ino{parent}, name, mode, creator_of(request));
  });
}

void symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  begin(request, RequestType::kSymlink);
  answer_name(request, parent, name, [&](Volume& volume) {
    return volume.make_symlink(Ino{parent}, name, target, creator_of(request));
  });
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
void tmpfile(fuse_req_t request, fuse_ino_t parent, mode_t mode, fuse_file_info* info) {
  begin(request, RequestType::kTmpfile);
  const auto reply = [&](const Attributes& made) {
    NewFile file{made, *info};
    file.file.keep_cache = 1;
    return file;
  };
  answer_once(
      request,
      [&] {
        return reply(volume_of(request).make_temporary(Ino{parent}, mode, creator_of(request)));
      },
      [&](const AppliedRequest& earlier) {
        return reply(volume_of(request).getattr(earlier.made));
      });
}
#endif

void link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char* name) {
  begin(request, RequestType::kLink);
  answer_name(request, parent, name,
              [&](Volume& volume) { return volume.link(Ino{ino}, Ino{parent}, name); });
}

void unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  begin(request, RequestType::kUnlink);
  answer_changed(request, {parent}, [&](Volume& volume) { volume.unlink(Ino{parent}, name); });
}

void rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  begin(request, RequestType::kRmdir);
  answer_changed(request, {parent}, [&](Volume& volume) { volume.rmdir(Ino{parent}, name); });
}

RenameMode rename_mode(unsigned flags) {
  switch (flags) {
    case 0:
      return RenameMode::kReplace;
    case RENAME_NOREPLACE:
      return RenameMode::kNoReplace;
    case RENAME_EXCHANGE:
      return RenameMode::kExchange;
    default:
      throw PosixError(EINVAL);  // RENAME_WHITEOUT, or both of the others
  }
}

/// What lies at the name was moved here from another directory. If it is a directory it has another
/// ".." now, but the kernel goes on showing the listing it has cached.
void drop_listing_of_moved(FuseConnection& connection, Ino parent, const char* name) {
  try {
    const std::optional<Attributes> moved = connection.volume->lookup(parent, name);
    if (!moved) return;
    if (S_ISDIR(moved->mode)) connection.caches.drop(moved->ino);
    connection.volume->forget(moved->ino, 1);
  } catch (const Error&) {
    // The rename is done, and an old ".." in a listing is no reason to say that it failed.
  }
}

void rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  FuseConnection& connection = begin(request, RequestType::kRename);
  const auto tell = [&] {
    connection.caches.saw_name(Ino{new_parent}, new_name);
    changed(request, parent);
    if (parent != new_parent) {
      changed(request, new_parent);
      drop_listing_of_moved(connection, Ino{new_parent}, new_name);
      if (flags == RENAME_EXCHANGE) drop_listing_of_moved(connection, Ino{parent}, name);
    }
    return Done{};
  };
  answer_once(
      request,
      [&] {
        connection.volume->rename(Ino{parent}, name, Ino{new_parent}, new_name, rename_mode(flags));
        return tell();
      },
      [&](const AppliedRequest&) { return tell(); });
}

void readlink(fuse_req_t request, fuse_ino_t ino) {
  begin(request, RequestType::kReadlink);
  answer(request, [&] { return Text{volume_of(request).readlink(Ino{ino})}; });
}

// Attributes.

void getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info*) {
  FuseConnection& connection = begin(request, RequestType::kGetattr);
  answer(request, [&] {
    connection.races.tell(Ino{ino}, thread_of(request));
    return Attr{connection.volume->getattr(Ino{ino})};
  });
}

SetAttributes changes_of(const struct stat& wanted, int set) {
  SetAttributes change;
  if (set & FUSE_SET_ATTR_MODE) change.mode = wanted.st_mode;
  if (set & FUSE_SET_ATTR_UID) change.uid = wanted.st_uid;
  if (set & FUSE_SET_ATTR_GID) change.gid = wanted.st_gid;
  if (set & FUSE_SET_ATTR_SIZE) change.size = unsigned_offset(wanted.st_size);
  if (set & FUSE_SET_ATTR_ATIME_NOW)
    change.atime = SetAttributes::Now{};
  else if (set & FUSE_SET_ATTR_ATIME)
    change.atime = to_time(wanted.st_atim);
  if (set & FUSE_SET_ATTR_MTIME_NOW)
    change.mtime = SetAttributes::Now{};
  else if (set & FUSE_SET_ATTR_MTIME)
    change.mtime = to_time(wanted.st_mtim);
  if (set & FUSE_SET_ATTR_CTIME) change.ctime = to_time(wanted.st_ctim);
#ifdef FUSE_SET_ATTR_KILL_SUID
  // The bit on the wire is one for both, FATTR_KILL_SUIDGID.
  change.clear_setid = (set & FUSE_SET_ATTR_KILL_SUID) != 0;
#endif
  return change;
}

void setattr(fuse_req_t request, fuse_ino_t ino, struct stat* wanted, int set, fuse_file_info*) {
  FuseConnection& connection = begin(request, RequestType::kSetattr);
  answer_once(
      request,
      [&] {
        connection.races.tell(Ino{ino}, thread_of(request));
        return Attr{
            volume_of(request).setattr(Ino{ino}, changes_of(*wanted, set), caller_of(request))};
      },
      [&](const AppliedRequest&) {
        connection.races.tell(Ino{ino}, thread_of(request));
        return Attr{volume_of(request).getattr(Ino{ino})};
      });
}

void statfs(fuse_req_t request, fuse_ino_t) {
  begin(request, RequestType::kStatfs);
  answer(request, [&] { return volume_of(request).statfs(); });
}

// Directories.

/// Packs entries into `out` until one does not fit.
class DirectoryPage {
 public:
  DirectoryPage(fuse_req_t request, Ino directory, std::span<std::byte> out)
      : request_(request), directory_(directory), out_(out) {}

  bool add(const DirectoryEntry& entry, bool plus) {
    char name[kMaxNameBytes + 1];
    if (entry.name.size() > kMaxNameBytes) throw CorruptionError("a name is longer than 255 bytes");
    std::memcpy(name, entry.name.data(), entry.name.size());
    name[entry.name.size()] = '\0';
    auto* at = reinterpret_cast<char*>(out_.data()) + used_;
    const std::size_t room = out_.size() - used_;
    const auto next = static_cast<off_t>(entry.cookie);
    std::size_t size = 0;
    if (plus) {
      const fuse_entry_param parameters = entry_of(entry);
      size = fuse_add_direntry_plus(request_, at, room, name, &parameters, next);
    } else {
      const struct stat status = entry_of(entry).attr;
      size = fuse_add_direntry(request_, at, room, name, &status, next);
    }
    if (size > room) return false;
    used_ += size;
    if (entry.attributes != nullptr) {
      FuseKernelCache& caches = connection_of(request_).caches;
      caches.saw(entry.ino);
      caches.saw_name(directory_, entry.name);
      if (S_ISDIR(entry.type)) directories_.push_back(*entry.attributes);
    }
    return true;
  }

  /// Makes the kernel ignore what the page says of directories that have changed meanwhile.
  void drop_stale() {
    FuseKernelCache& caches = connection_of(request_).caches;
    for (const Attributes& said : directories_) {
      const Attributes now = fresh(request_, said);
      if (now.ctime != said.ctime || now.nlink != said.nlink) caches.drop(said.ino);
    }
  }

  std::size_t used() const { return used_; }
  ByteView bytes() const { return out_.first(used_); }

 private:
  /// Without attributes the kernel learns type and number only, and holds no lookup (node id 0).
  static fuse_entry_param entry_of(const DirectoryEntry& entry) {
    if (entry.attributes != nullptr) return to_entry(*entry.attributes);
    fuse_entry_param parameters{};
    parameters.attr.st_ino = to_integer(entry.ino);
    parameters.attr.st_mode = entry.type;
    return parameters;
  }

  const fuse_req_t request_;
  const Ino directory_;
  const std::span<std::byte> out_;
  std::size_t used_ = 0;
  std::vector<Attributes> directories_;
};

void read_directory(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t offset, bool plus) {
  answer(request, [&] {
    DirectoryPage page(request, Ino{ino}, reply_buffer(request, size));
    try {
      volume_of(request).read_directory(
          Ino{ino}, unsigned_offset(offset), plus,
          [&](const DirectoryEntry& entry) { return page.add(entry, plus); });
    } catch (const Error&) {
      if (page.used() == 0) throw;  // else the entries count; the next call fails again
    }
    page.drop_stale();
    return Data{page.bytes()};
  });
}

void readdir(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
  begin(request, RequestType::kReaddir);
  read_directory(request, ino, size, offset, false);
}

void readdirplus(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t offset,
                 fuse_file_info*) {
  begin(request, RequestType::kReaddirplus);
  read_directory(request, ino, size, offset, true);
}

// Opening. ENOSYS means "no need to ask again": the kernel then keeps pages and entries by itself.

void open(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  if (begin(request, RequestType::kOpen).no_open) {
    fuse_reply_err(request, ENOSYS);
    return;
  }
  info->keep_cache = 1;
  fuse_reply_open(request, info);
}

void opendir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  if (begin(request, RequestType::kOpendir).no_opendir) {
    fuse_reply_err(request, ENOSYS);
    return;
  }
  info->keep_cache = 1;
  info->cache_readdir = 1;
  fuse_reply_open(request, info);
}

void release(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  refuse<RequestType::kRelease, 0>(request);
}

void releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  refuse<RequestType::kReleasedir, 0>(request);
}

void flush(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  refuse<RequestType::kFlush, ENOSYS>(request);
}

/// The kernel makes the file with MKNOD then, and needs no OPEN: one request for both.
void create(fuse_req_t request, fuse_ino_t, const char*, mode_t, fuse_file_info*) {
  refuse<RequestType::kCreate, ENOSYS>(request);
}

// Data.

void read(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
  begin(request, RequestType::kRead);
  if (size >= kLongCopy) about_to_wait();
  answer(request, [&] {
    const std::span<std::byte> buffer = reply_buffer(request, size);
    const std::size_t got = volume_of(request).read(Ino{ino}, unsigned_offset(offset), buffer);
    return Data{buffer.first(got)};
  });
}

/// fsync waits for the device, and one flush answers all who wait: as many as possible should.
void fsync(fuse_req_t request, fuse_ino_t ino, int, fuse_file_info*) {
  begin(request, RequestType::kFsync);
  answer_slowly(request, [request, ino] {
    volume_of(request).fsync(Ino{ino});
    return Done{};
  });
}

void fsyncdir(fuse_req_t request, fuse_ino_t ino, int, fuse_file_info*) {
  begin(request, RequestType::kFsyncdir);
  answer_slowly(request, [request, ino] {
    volume_of(request).fsync(Ino{ino});
    return Done{};
  });
}

AllocateMode allocate_mode(int mode) {
  switch (mode) {
    case 0:
      return AllocateMode::kExtend;
    case FALLOC_FL_KEEP_SIZE:
      return AllocateMode::kKeepSize;
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      return AllocateMode::kPunchHole;
    case FALLOC_FL_ZERO_RANGE:
      return AllocateMode::kZeroRange;
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      return AllocateMode::kZeroRangeKeepSize;
    default:
      throw PosixError(EOPNOTSUPP);  // collapse, insert, unshare
  }
}

void fallocate(fuse_req_t request, fuse_ino_t ino, int mode, off_t offset, off_t length,
               fuse_file_info*) {
  begin(request, RequestType::kFallocate);
  about_to_wait();  // a big file has many regions
  answer_done(request, [&](Volume& volume) {
    volume.allocate(Ino{ino}, allocate_mode(mode), unsigned_offset(offset),
                    unsigned_offset(length));
  });
}

/// The kernel does not send what it has collected before it asks where data is, so with its
/// write-back cache a copying program would leave it out. After ENOSYS all of a file is data.
void lseek(fuse_req_t request, fuse_ino_t ino, off_t offset, int whence, fuse_file_info*) {
  const FuseConnection& connection = begin(request, RequestType::kLseek);
  if (connection.options.writeback && !connection.options.read_only) {
    fuse_reply_err(request, ENOSYS);
    return;
  }
  answer(request, [&] {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) throw PosixError(EINVAL);
    const SeekWhat what = whence == SEEK_DATA ? SeekWhat::kData : SeekWhat::kHole;
    return Position{volume_of(request).seek(Ino{ino}, unsigned_offset(offset), what)};
  });
}

void copy_file_range(fuse_req_t request, fuse_ino_t from, off_t from_offset, fuse_file_info*,
                     fuse_ino_t to, off_t to_offset, fuse_file_info*, std::size_t size, int flags) {
  begin(request, RequestType::kCopyFileRange);
  about_to_wait();
  // It may be several changes, and is made again when it comes again: as long as it has no answer,
  // others see it before or after what they do.
  answer(request, [&] {
    if (flags != 0) throw PosixError(EINVAL);
    // The reply counts in 32 bits.
    const std::uint64_t part = std::min<std::uint64_t>(size, 1u << 30);
    return Written{volume_of(request).copy_range(Ino{from}, unsigned_offset(from_offset), Ino{to},
                                                 unsigned_offset(to_offset), part)};
  });
}

void ioctl(fuse_req_t request, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned, const void*,
           std::size_t, std::size_t) {
  refuse<RequestType::kIoctl, ENOTTY>(request);
}

/// Asked only without default_permissions; modes are not our business then.
void access(fuse_req_t request, fuse_ino_t, int) { refuse<RequestType::kAccess, ENOSYS>(request); }

}  // namespace

fuse_lowlevel_ops fuse_operations() {
  fuse_lowlevel_ops operations{};
  operations.init = [](void* connection, fuse_conn_info* offer) {
    agree(*static_cast<FuseConnection*>(connection), *offer);
  };
  operations.lookup = lookup;
  operations.forget = forget;
  operations.forget_multi = forget_multi;
  operations.getattr = getattr;
  operations.setattr = setattr;
  operations.readlink = readlink;
  operations.mknod = mknod;
  operations.mkdir = mkdir;
  operations.unlink = unlink;
  operations.rmdir = rmdir;
  operations.symlink = symlink;
  operations.rename = rename;
  operations.link = link;
  operations.open = open;
  operations.read = read;
  operations.write = fuse::write;
  operations.flush = flush;
  operations.release = release;
  operations.fsync = fsync;
  operations.opendir = opendir;
  operations.readdir = readdir;
  operations.readdirplus = readdirplus;
  operations.releasedir = releasedir;
  operations.fsyncdir = fsyncdir;
  operations.statfs = statfs;
  operations.setxattr = fuse::setxattr;
  operations.getxattr = fuse::getxattr;
  operations.listxattr = fuse::listxattr;
  operations.removexattr = fuse::removexattr;
  operations.access = access;
  operations.create = create;
  operations.ioctl = ioctl;
  operations.fallocate = fallocate;
  operations.lseek = lseek;
  operations.copy_file_range = copy_file_range;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  operations.tmpfile = tmpfile;
#endif
  return operations;
}

}  // namespace varve
