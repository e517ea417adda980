// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite.h"

#include <cerrno>

#include "store/base/error.h"

namespace varve::sqlite {

namespace {

int errno_of(sqlite3* database, int code) {
  // Final whatever the cause: a caller that takes it for a full disk would try again.
  if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) return EIO;
  switch (code & 0xff) {
    case SQLITE_FULL:
      return ENOSPC;
    case SQLITE_NOMEM:
      return ENOMEM;
    case SQLITE_READONLY:
      return EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return EBUSY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: {
      const int system = database != nullptr ? sqlite3_system_errno(database) : 0;
      return system != 0 ? system : EIO;
    }
    default:
      return EIO;
  }
}

}  // namespace

void fail(sqlite3* database, int code, const std::string& what) {
  const std::string detail = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  const std::string text = what + ": " + detail;
  const int primary = code & 0xff;
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_FORMAT) {
    throw CorruptionError(text);
  }
  throw StoreError(errno_of(database, code), text);
}

Connection::Connection(Disk& disk, const std::string& path, Mode mode)
    : path_(path), vfs_(DiskVfs::of(disk)) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  // A link planted in the index's place is not followed.
  flags |= SQLITE_OPEN_NOFOLLOW;
  flags |= mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (mode == Mode::kCreate) flags |= SQLITE_OPEN_CREATE;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, vfs_ ? vfs_->name() : nullptr);
  handle_.reset(handle);
  if (code == SQLITE_CANTOPEN_SYMLINK) {
    throw UserError(EPERM, path +
                               " or a directory above it is a symbolic link, which is not "
                               "followed; put the file itself there, or remove it: the index is "
                               "made again from the segments");
  }
  if (code != SQLITE_OK) fail(handle, code, path + ": open");
  sqlite3_busy_timeout(handle, 10'000);
  // A damaged file must be an error, not a way to run code or to return wrong rows.
  run("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;");
}

void Connection::run(const std::string& sql) {
  const int code = sqlite3_exec(get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(get(), code, path_);
}

bool Connection::checkpoint(int mode) {
  int frames = 0;
  int done = 0;
  const int code = sqlite3_wal_checkpoint_v2(get(), nullptr, mode, &frames, &done);
  if ((code & 0xff) == SQLITE_BUSY) return false;
  if (code != SQLITE_OK) fail(get(), code, path_ + ": checkpoint");
  return frames == done;
}

Statement::Statement(Connection& connection, const std::string& sql) : connection_(connection) {
  sqlite3_stmt* handle = nullptr;
  const int code =
      sqlite3_prepare_v3(connection.get(), sql.c_str(), static_cast<int>(sql.size()) + 1,
                         SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) fail(connection.get(), code, connection.path() + ": prepare");
}

bool Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  // The text is read before the reset, which may change it; a failed statement must not keep a
  // lock.
  try {
    fail(connection_.get(), code, connection_.path());
  } catch (...) {
    reset();
    throw;
  }
}

ByteView Statement::blob(int column) const {
  const void* data = sqlite3_column_blob(handle_.get(), column);
  const int size = sqlite3_column_bytes(handle_.get(), column);
  return {static_cast<const std::byte*>(data), static_cast<std::size_t>(size)};
}

void Statement::bind_one(int index, std::int64_t value) {
  const int code = sqlite3_bind_int64(handle_.get(), index, value);
  if (code != SQLITE_OK) fail(connection_.get(), code, connection_.path() + ": bind");
}

void Statement::bind_one(int index, std::uint64_t value) {
  bind_one(index, static_cast<std::int64_t>(value));
}

void Statement::bind_one(int index, ByteView bytes) {
  const int code =
      sqlite3_bind_blob64(handle_.get(), index, bytes.data(), bytes.size(), SQLITE_STATIC);
  if (code != SQLITE_OK) fail(connection_.get(), code, connection_.path() + ": bind");
}

void Statement::bind_one(int index, std::string_view text) {
  const int code = sqlite3_bind_text64(handle_.get(), index, text.data(), text.size(),
                                       SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) fail(connection_.get(), code, connection_.path() + ": bind");
}

Transaction::~Transaction() {
  // SQLite may have rolled back by itself after an error; a second rollback fails harmlessly.
  if (open_) sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  connection_.run("COMMIT");
  open_ = false;
}

}  // namespace varve::sqlite
