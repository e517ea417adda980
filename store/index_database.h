// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/object_check.h"
#include "store/object_table.h"
#include "store/sqlite.h"

namespace varve {

/// The one read-write connection to the index file, `index.db`: the only place for SQL that changes
/// it. Used by one thread at a time, the index's writer.
class IndexDatabase {
 public:
  static constexpr std::uint64_t kFormat = 1;

  /// How far the reference counts can be trusted.
  enum class References : std::uint8_t {
    kExact = 0,
    kZero = 1,      ///< rebuilt from segments: all are zero
    kCounting = 2,  ///< a recount was begun
  };
  struct Summary {
    Csn applied_csn = 0;
    References references = References::kExact;
    std::uint64_t objects = 0;
    std::uint64_t referenced_bytes = 0;
    SegmentId last_segment = 0;
    std::map<SegmentId, std::uint64_t> sealed_segments;
    std::map<SegmentId, std::uint64_t> segment_live_bytes;
    std::vector<Digest> damaged;
  };

  /// Makes an empty index in a new file, durable when it is closed.
  static void create(Disk& disk, const std::string& path, const StoreId& store);

  /// Opens the index of `store`. Throws CorruptionError if it is damaged or another store's,
  /// UserError(ENOTSUP) if its format is newer, StoreError(ENOENT) if there is none.
  IndexDatabase(Disk& disk, const std::string& path, const StoreId& store);
  IndexDatabase(const IndexDatabase&) = delete;
  IndexDatabase& operator=(const IndexDatabase&) = delete;

  Summary summary();
  /// Applies `change` in one transaction. If `durable`, it survives a power cut on return, with
  /// all before it.
  void write(const IndexChange& change, bool durable);
  /// Pages in the write-ahead log after the last commit.
  std::uint64_t log_pages() const { return log_pages_; }
  /// Moves the log into the file as far as readers allow.
  void checkpoint();
  /// The same, waiting for readers, and empties the log; everything written is durable then. False
  /// if a reader, of another process perhaps, did not let go.
  bool truncate_log();
  /// Calls `visit` with every digest until it returns false.
  void visit_digests(const std::function<bool(const Digest&)>& visit);

  // --- recount ---

  /// Sets all counts to zero unless a rebuild has just done so.
  void begin_references();
  /// Adds births to objects, in order of digests; an object that has no row becomes a lost one.
  /// Returns how many were lost.
  std::uint64_t add_references(const std::vector<std::pair<Digest, std::uint64_t>>& births);
  /// The counts are those after commit `csn`; durable on return.
  void finish_references(Csn csn);

 private:
  void check_owner(const StoreId& store);
  std::uint64_t meta(const char* key);
  void set_meta(const char* key, std::uint64_t value);
  void write_objects(const IndexChange& change);
  void write_segments(const IndexChange& change);
  void write_damage(const IndexChange& change);
  void set_durable(bool durable);
  void touch();

  sqlite::Connection connection_;
  std::optional<sqlite::Statement> put_object_;
  std::optional<sqlite::Statement> delete_object_;
  std::optional<sqlite::Statement> get_meta_;
  std::optional<sqlite::Statement> put_meta_;
  std::uint64_t log_pages_ = 0;
  bool log_is_unflushed_ = true;  ///< perhaps, by what a crash or a commit left in it
};

/// A read-only connection to the index file. Used by one thread at a time.
class IndexReader {
 public:
  IndexReader(Disk& disk, const std::string& path);

  std::optional<ObjectState> find(const Digest& digest);
  /// States of `digests`, as of one moment.
  std::vector<std::optional<ObjectState>> find_all(const std::vector<Digest>& digests);

  struct DeadObject {
    Digest digest;
    ObjectState state;
  };
  /// Up to `limit` dead objects with dead_csn < `horizon`, in order of (dead_csn, digest), after
  /// `after` (empty: from the first).
  std::vector<DeadObject> dead(Csn horizon, const std::optional<DeadObject>& after,
                               std::uint64_t limit);
  /// Up to `limit` objects with references and digests above `after`, ascending.
  std::vector<LiveObject> live(const std::optional<Digest>& after, std::uint64_t limit);
  /// The same of all objects, dead ones included.
  std::vector<LiveObject> all(const std::optional<Digest>& after, std::uint64_t limit);
  /// What is wrong with the form of the file, in SQLite's words; empty if nothing is.
  std::vector<std::string> integrity();
  /// Objects with references, in order of digests.
  void visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit);

 private:
  std::vector<LiveObject> objects_where(const char* condition, const std::optional<Digest>& after,
                                        std::uint64_t limit);

  sqlite::Connection connection_;
  sqlite::Statement find_;
  sqlite::Statement dead_;
};

/// Fills a new index file with the objects found in segments: no references, needs a recount. The
/// file has no log and is not safe before finish(). Used by one thread.
class IndexBuilder {
 public:
  IndexBuilder(Disk& disk, const std::string& path, const StoreId& store);
  /// In order of digests, each once.
  void add(const Digest& digest, const Placement& placement);
  void finish(SegmentId last_segment);

 private:
  sqlite::Connection connection_;
  std::optional<sqlite::Statement> insert_;
  ObjectTotals totals_;
};

}  // namespace varve
