// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "store/base/bytes.h"
#include "store/base/disk.h"
#include "store/sqlite_vfs.h"

namespace varve::sqlite {

/// Throws what result `code` of `database` means: CorruptionError for a damaged file,
/// StoreError(ENOSPC) when the disk is full, else StoreError(EIO or a nearer errno).
[[noreturn]] void fail(sqlite3* database, int code, const std::string& what);

/// One SQLite connection, whose files are on a Disk. Not safe to share between threads.
class Connection {
 public:
  enum class Mode { kReadOnly, kReadWrite, kCreate };

  Connection(Disk& disk, const std::string& path, Mode mode);
  sqlite3* get() const { return handle_.get(); }
  const std::string& path() const { return path_; }
  /// Runs statements without results or parameters.
  void run(const std::string& sql);
  /// Checkpoints the write-ahead log as far as readers allow; false if some of it is left.
  bool checkpoint(int mode);

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  std::string path_;
  std::shared_ptr<DiskVfs> vfs_;  ///< null: SQLite's own. Outlives the handle
  std::unique_ptr<sqlite3, Close> handle_;
};

/// A prepared statement: bind by order, step, read columns by order. Not safe to share.
class Statement {
 public:
  Statement(Connection& connection, const std::string& sql);

  /// Binds all parameters, in order. Blobs are not copied: they must live until the last step.
  template <class... Values>
  Statement& bind(const Values&... values) {
    reset();
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }
  /// True if there is a row.
  bool step();
  /// Binds, steps to the end, resets.
  template <class... Values>
  void run(const Values&... values) {
    bind(values...);
    while (step()) {
    }
    reset();
  }
  void reset() { sqlite3_reset(handle_.get()); }

  std::int64_t integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }
  std::uint64_t number(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  /// Valid until the next step or reset.
  ByteView blob(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }
  };
  void bind_one(int index, std::uint64_t value);
  void bind_one(int index, std::int64_t value);
  void bind_one(int index, ByteView bytes);
  void bind_one(int index, std::string_view text);

  Connection& connection_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

/// Rolls back unless commit() ran.
class Transaction {
 public:
  explicit Transaction(Connection& connection) : connection_(connection) {
    connection_.run("BEGIN IMMEDIATE");
  }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Connection& connection_;
  bool open_ = true;
};

}  // namespace varve::sqlite
