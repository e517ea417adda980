// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_vfs.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "store/base/error.h"

namespace varve::sqlite {

/// The locks of one database file and the shared memory of its log.
struct DiskVfs::Shared {
  Mutex mutex;
  int readers GUARDED_BY(mutex) = 0;                    ///< holders of SHARED or more
  const void* reserved_by GUARDED_BY(mutex) = nullptr;  ///< of RESERVED or more
  const void* pending_by GUARDED_BY(mutex) = nullptr;   ///< of PENDING or EXCLUSIVE

  struct Slot {
    int shared = 0;
    const void* exclusive_by = nullptr;
  };
  std::array<Slot, SQLITE_SHM_NLOCK> slots GUARDED_BY(mutex);
  std::vector<std::vector<char>> regions GUARDED_BY(mutex);
  int mapped GUARDED_BY(mutex) = 0;  ///< connections that use the regions
};

namespace {

thread_local int last_errno = 0;

/// Runs `call`, which throws what a Disk throws; gives SQLite's code for it, `code` mostly.
template <class Call>
int guarded(int code, Call&& call) {
  try {
    call();
    return SQLITE_OK;
  } catch (const Error& error) {
    last_errno = error.code();
    return error.code() == ENOSPC ? SQLITE_FULL : code;
  } catch (const std::bad_alloc&) {
    return SQLITE_IOERR_NOMEM;
  }
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

/// One open file.
struct OpenFile {
  DiskVfs& vfs;
  std::unique_ptr<File> file;
  std::shared_ptr<DiskVfs::Shared> shared;  ///< of a database, not of its log
  /// A journal was made and its name is not durable: its first sync makes it so, as SQLite's own
  /// VFS does.
  bool sync_name = false;
  int level = SQLITE_LOCK_NONE;
  bool mapped = false;
  unsigned shm_shared = 0;  ///< slots, as bits
  unsigned shm_exclusive = 0;
};

/// What SQLite allocates; `base` must be first.
struct Handle {
  sqlite3_file base;
  OpenFile* open;
};

OpenFile& of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file)->open; }

// --- reading and writing ---

int read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  std::size_t count = 0;
  const std::span<std::byte> bytes(static_cast<std::byte*>(out), static_cast<std::size_t>(size));
  const int code = guarded(SQLITE_IOERR_READ, [&] {
    count = of(file).file->read_at(static_cast<std::uint64_t>(offset), bytes);
  });
  if (code != SQLITE_OK) return code == SQLITE_FULL ? SQLITE_IOERR_READ : code;
  if (count == bytes.size()) return SQLITE_OK;
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(count), bytes.end(), std::byte{0});
  return SQLITE_IOERR_SHORT_READ;
}

int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  return guarded(SQLITE_IOERR_WRITE, [&] {
    of(file).file->write_at(
        static_cast<std::uint64_t>(offset),
        ByteView(static_cast<const std::byte*>(data), static_cast<std::size_t>(size)));
  });
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
  return guarded(SQLITE_IOERR_TRUNCATE,
                 [&] { of(file).file->truncate(static_cast<std::uint64_t>(size)); });
}

int sync(sqlite3_file* file, int) {
  const int code = guarded(SQLITE_IOERR_FSYNC, [&] {
    OpenFile& open = of(file);
    open.file->sync();
    if (!open.sync_name) return;
    open.vfs.disk().sync_directory(directory_of(open.file->path()));
    open.sync_name = false;
  });
  return code == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return guarded(SQLITE_IOERR_FSTAT,
                 [&] { *size = static_cast<sqlite3_int64>(of(file).file->size()); });
}

// --- locks: NONE < SHARED < RESERVED < PENDING < EXCLUSIVE ---

int lock(sqlite3_file* file, int level) {
  OpenFile& open = of(file);
  if (level <= open.level) return SQLITE_OK;
  DiskVfs::Shared& shared = *open.shared;
  const MutexLock held(shared.mutex);
  if (shared.pending_by != nullptr && shared.pending_by != &open) return SQLITE_BUSY;
  if (level > SQLITE_LOCK_SHARED && shared.reserved_by != nullptr && shared.reserved_by != &open) {
    return SQLITE_BUSY;
  }
  if (open.level == SQLITE_LOCK_NONE) ++shared.readers;
  open.level = std::max(open.level, SQLITE_LOCK_SHARED);
  if (level == SQLITE_LOCK_SHARED) return SQLITE_OK;
  shared.reserved_by = &open;
  if (level > SQLITE_LOCK_RESERVED) {
    // No new readers from here on; those that are there have to leave first.
    shared.pending_by = &open;
    open.level = SQLITE_LOCK_PENDING;
    if (shared.readers > 1) return SQLITE_BUSY;
  }
  open.level = level;
  return SQLITE_OK;
}

int unlock(sqlite3_file* file, int level) {
  OpenFile& open = of(file);
  if (level >= open.level) return SQLITE_OK;
  DiskVfs::Shared& shared = *open.shared;
  const MutexLock held(shared.mutex);
  if (shared.pending_by == &open) shared.pending_by = nullptr;
  if (shared.reserved_by == &open) shared.reserved_by = nullptr;
  if (level == SQLITE_LOCK_NONE) --shared.readers;
  open.level = level;
  return SQLITE_OK;
}

int check_reserved_lock(sqlite3_file* file, int* result) {
  DiskVfs::Shared& shared = *of(file).shared;
  const MutexLock held(shared.mutex);
  *result = shared.reserved_by != nullptr ? 1 : 0;
  return SQLITE_OK;
}

int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 4096; }
int device_characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

// --- the shared memory of a log ---

int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
  OpenFile& open = of(file);
  DiskVfs::Shared& shared = *open.shared;
  *out = nullptr;
  return guarded(SQLITE_IOERR_SHMMAP, [&] {
    const MutexLock held(shared.mutex);
    if (!open.mapped) ++shared.mapped;
    open.mapped = true;
    const auto index = static_cast<std::size_t>(region);
    if (index >= shared.regions.size() && extend == 0) return;
    while (index >= shared.regions.size()) {
      shared.regions.emplace_back(static_cast<std::size_t>(size));
    }
    *out = shared.regions[index].data();
  });
}

int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  OpenFile& open = of(file);
  DiskVfs::Shared& shared = *open.shared;
  const MutexLock held(shared.mutex);
  const auto first = shared.slots.begin() + offset;
  const auto last = first + count;
  const unsigned bits = ((1u << count) - 1) << offset;
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    for (auto slot = first; slot != last; ++slot) {
      const unsigned bit = 1u << (slot - shared.slots.begin());
      if (slot->exclusive_by == &open) slot->exclusive_by = nullptr;
      if ((open.shm_shared & bit) != 0) --slot->shared;
    }
    open.shm_shared &= ~bits;
    open.shm_exclusive &= ~bits;
    return SQLITE_OK;
  }
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  unsigned& own = exclusive ? open.shm_exclusive : open.shm_shared;
  if ((own & bits) == bits) return SQLITE_OK;
  for (auto slot = first; slot != last; ++slot) {
    if (slot->exclusive_by != nullptr || (exclusive && slot->shared > 0)) return SQLITE_BUSY;
  }
  for (auto slot = first; slot != last; ++slot) {
    if (exclusive) {
      slot->exclusive_by = &open;
    } else {
      ++slot->shared;
    }
  }
  own |= bits;
  return SQLITE_OK;
}

void shm_barrier(sqlite3_file*) { std::atomic_thread_fence(std::memory_order_seq_cst); }

int shm_unmap(sqlite3_file* file, int) {
  OpenFile& open = of(file);
  if (!open.mapped) return SQLITE_OK;
  shm_lock(file, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK);
  DiskVfs::Shared& shared = *open.shared;
  const MutexLock held(shared.mutex);
  open.mapped = false;
  if (--shared.mapped == 0) shared.regions.clear();
  return SQLITE_OK;
}

int close(sqlite3_file* file) {
  if (of(file).shared) {
    shm_unmap(file, 0);
    unlock(file, SQLITE_LOCK_NONE);
  }
  delete &of(file);
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {2,
                                     close,
                                     read,
                                     write,
                                     truncate,
                                     sync,
                                     file_size,
                                     lock,
                                     unlock,
                                     check_reserved_lock,
                                     file_control,
                                     sector_size,
                                     device_characteristics,
                                     shm_map,
                                     shm_lock,
                                     shm_barrier,
                                     shm_unmap,
                                     nullptr,
                                     nullptr};

// --- names ---

DiskVfs& vfs_of(sqlite3_vfs* vfs) { return *static_cast<DiskVfs*>(vfs->pAppData); }

/// SQLite's own, for temporary files, time and randomness.
sqlite3_vfs* host() { return sqlite3_vfs_find("unix"); }

std::unique_ptr<File> open_or_create(Disk& disk, const std::string& path, int flags,
                                     bool& created) {
  if ((flags & SQLITE_OPEN_READONLY) != 0) return disk.open(path, Disk::Mode::kReadOnly);
  created = (flags & SQLITE_OPEN_CREATE) != 0 &&
            ((flags & SQLITE_OPEN_EXCLUSIVE) != 0 || !disk.exists(path));
  return disk.open(path, created ? Disk::Mode::kCreateNew : Disk::Mode::kReadWrite);
}

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  constexpr int kJournals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
  if (name == nullptr || (flags & (SQLITE_OPEN_MAIN_DB | kJournals)) == 0) {
    return host()->xOpen(host(), name, file, flags, out_flags);
  }
  file->pMethods = nullptr;  // until it is open there is nothing to close
  const int code = guarded(SQLITE_CANTOPEN, [&] {
    bool created = false;
    auto opened = std::unique_ptr<OpenFile>(new OpenFile{vfs_of(vfs), nullptr, nullptr});
    opened->file = open_or_create(vfs_of(vfs).disk(), name, flags, created);
    opened->sync_name = created && (flags & kJournals) != 0;
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) opened->shared = vfs_of(vfs).shared_of(name);
    reinterpret_cast<Handle*>(file)->open = opened.release();
  });
  if (code != SQLITE_OK) return code == SQLITE_FULL ? SQLITE_CANTOPEN : code;
  file->pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int remove(sqlite3_vfs* vfs, const char* name, int sync_directory) {
  Disk& disk = vfs_of(vfs).disk();
  bool there = false;
  const int code = guarded(SQLITE_IOERR_DELETE, [&] {
    there = disk.exists(name);
    if (there) disk.remove(name);
    if (there && sync_directory != 0) disk.sync_directory(directory_of(name));
  });
  return code == SQLITE_OK && !there ? SQLITE_IOERR_DELETE_NOENT : code;
}

/// An empty file counts as none, as with SQLite's own VFS: it is what a crash leaves of a journal.
int access(sqlite3_vfs* vfs, const char* name, int, int* result) {
  Disk& disk = vfs_of(vfs).disk();
  return guarded(SQLITE_IOERR_ACCESS, [&] {
    *result = disk.exists(name) && disk.open(name, Disk::Mode::kReadOnly)->size() > 0 ? 1 : 0;
  });
}

int full_path_name(sqlite3_vfs*, const char* name, int size, char* out) {
  const std::size_t length = std::strlen(name) + 1;
  if (length > static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, length);
  return SQLITE_OK;
}

int randomness(sqlite3_vfs*, int size, char* out) { return host()->xRandomness(host(), size, out); }
int sleep(sqlite3_vfs*, int microseconds) { return host()->xSleep(host(), microseconds); }
int current_time(sqlite3_vfs*, double* out) { return host()->xCurrentTime(host(), out); }
int get_last_error(sqlite3_vfs*, int, char*) { return last_errno; }

/// The VFS of each disk.
struct Registry {
  Mutex mutex;
  std::map<Disk*, std::weak_ptr<DiskVfs>> all GUARDED_BY(mutex);
};

Registry& registry() {
  static Registry registry;
  return registry;
}

}  // namespace

std::shared_ptr<DiskVfs> DiskVfs::of(Disk& disk) {
  if (&disk == &Disk::host()) return nullptr;
  const MutexLock lock(registry().mutex);
  std::weak_ptr<DiskVfs>& known = registry().all[&disk];
  std::shared_ptr<DiskVfs> vfs = known.lock();
  if (!vfs) known = vfs = std::make_shared<DiskVfs>(disk);
  std::erase_if(registry().all, [](const auto& entry) { return entry.second.expired(); });
  return vfs;
}

DiskVfs::DiskVfs(Disk& disk) : disk_(disk) {
  static std::atomic<std::uint64_t> made{0};
  name_ = "varve-disk-" + std::to_string(++made);
  vfs_.iVersion = 1;
  vfs_.szOsFile = std::max<int>(static_cast<int>(sizeof(Handle)), host()->szOsFile);
  vfs_.mxPathname = 4096;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = open;
  vfs_.xDelete = remove;
  vfs_.xAccess = access;
  vfs_.xFullPathname = full_path_name;
  vfs_.xRandomness = randomness;
  vfs_.xSleep = sleep;
  vfs_.xCurrentTime = current_time;
  vfs_.xGetLastError = get_last_error;
  if (sqlite3_vfs_register(&vfs_, 0) != SQLITE_OK) {
    throw StoreError(ENOMEM, "SQLite: cannot register " + name_);
  }
}

DiskVfs::~DiskVfs() { sqlite3_vfs_unregister(&vfs_); }

std::shared_ptr<DiskVfs::Shared> DiskVfs::shared_of(const std::string& path) {
  const MutexLock lock(mutex_);
  std::weak_ptr<Shared>& known = shared_[path];
  std::shared_ptr<Shared> shared = known.lock();
  if (!shared) known = shared = std::make_shared<Shared>();
  return shared;
}

}  // namespace varve::sqlite
