// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_answer.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <set>

#include "store/base/error.h"
#include "store/base/log.h"
#include "store/base/mutex.h"

namespace varve {
namespace {

constexpr std::uint64_t kStatfsBlock = 4096;

timespec to_timespec(const Time& time) {
  timespec out{};
  out.tv_sec = time.seconds;
  out.tv_nsec = static_cast<long>(time.nanoseconds);
  return out;
}

/// Sentences logged so far; a damaged file that is read in a loop must not fill the log.
class LoggedOnce {
 public:
  void error(const std::string& sentence) {
    {
      MutexLock lock(mutex_);
      if (logged_.size() >= kMax || !logged_.insert(sentence).second) return;
    }
    log_error("fuse", sentence);
  }

 private:
  static constexpr std::size_t kMax = 256;
  Mutex mutex_;
  std::set<std::string> logged_ GUARDED_BY(mutex_);
};

int report(FuseConnection& connection, int code, const std::string& what) {
  static LoggedOnce logged;
  connection.traffic.count_failure();
  logged.error(connection.options.fsname + ": " + what);
  return code;
}

/// Errnos that mean that we failed, not that the caller asked for the impossible.
bool is_failure(int code) { return code == EIO || code == ENOMEM || code == ENODEV; }

}  // namespace

struct stat to_stat(const Attributes& attributes) {
  struct stat out {};
  out.st_ino = to_integer(attributes.ino);
  out.st_mode = attributes.mode;
  out.st_nlink = attributes.nlink;
  out.st_uid = attributes.uid;
  out.st_gid = attributes.gid;
  out.st_rdev = attributes.rdev;
  out.st_size = static_cast<off_t>(attributes.size);
  out.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  out.st_blksize = 4096;
  out.st_atim = to_timespec(attributes.atime);
  out.st_mtim = to_timespec(attributes.mtime);
  out.st_ctim = to_timespec(attributes.ctime);
  return out;
}

fuse_entry_param to_entry(const Attributes& attributes) {
  fuse_entry_param entry{};
  entry.ino = to_integer(attributes.ino);
  entry.attr = to_stat(attributes);
  entry.attr_timeout = attributes.brief ? 0 : kForever;
  entry.entry_timeout = entry.attr_timeout;
  return entry;
}

int errno_of_current_exception(FuseConnection& connection) {
  try {
    throw;
  } catch (const Error& error) {
    if (is_failure(error.code())) return report(connection, error.code(), error.what());
    return error.code();
  } catch (const std::bad_alloc&) {
    return report(connection, ENOMEM, "out of memory");
  } catch (const std::exception& error) {
    return report(connection, EIO, error.what());
  } catch (...) {
    return report(connection, EIO, "an exception of unknown type");
  }
}

void send(fuse_req_t request, Done) { fuse_reply_err(request, 0); }

void send(fuse_req_t request, Refused refused) { fuse_reply_err(request, refused.code); }

void send(fuse_req_t request, const NewName& entry) {
  FuseKernelCache& caches = connection_of(request).caches;
  caches.saw(entry.attributes.ino);
  caches.saw_name(entry.parent, entry.name);
  const fuse_entry_param parameters = to_entry(entry.attributes);
  fuse_reply_entry(request, &parameters);
}

void send(fuse_req_t request, const NoName& entry) {
  connection_of(request).caches.saw_name(entry.parent, entry.name);
  fuse_entry_param absent{};
  absent.entry_timeout = kForever;
  fuse_reply_entry(request, &absent);
}

void send(fuse_req_t request, NewFile file) {
  connection_of(request).caches.saw(file.attributes.ino);
  const fuse_entry_param parameters = to_entry(file.attributes);
  fuse_reply_create(request, &parameters, &file.file);
}

void send(fuse_req_t request, const Attr& attributes) {
  const struct stat status = to_stat(attributes.attributes);
  fuse_reply_attr(request, &status, attributes.attributes.brief ? 0 : kForever);
}

void send(fuse_req_t request, const Text& text) { fuse_reply_readlink(request, text.text.c_str()); }

void send(fuse_req_t request, const Data& data) {
  fuse_reply_buf(request, reinterpret_cast<const char*>(data.bytes.data()), data.bytes.size());
}

void send(fuse_req_t request, Written written) { fuse_reply_write(request, written.size_bytes); }

void send(fuse_req_t request, Position position) {
  fuse_reply_lseek(request, static_cast<off_t>(position.offset));
}

void send(fuse_req_t request, ValueSize size) { fuse_reply_xattr(request, size.size_bytes); }

void send(fuse_req_t request, const FileSystemFigures& figures) {
  struct statvfs out {};
  out.f_bsize = kStatfsBlock;
  out.f_frsize = kStatfsBlock;
  out.f_blocks = figures.total_bytes / kStatfsBlock;
  out.f_bfree = figures.free_bytes / kStatfsBlock;
  out.f_bavail = out.f_bfree;
  out.f_files = figures.total_inodes;
  out.f_ffree = figures.free_inodes;
  out.f_favail = figures.free_inodes;
  out.f_namemax = kMaxNameBytes;
  fuse_reply_statfs(request, &out);
}

}  // namespace varve
