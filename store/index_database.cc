// SPDX-License-Identifier: Apache-2.0
#include "store/index_database.h"

#include <algorithm>
#include <cerrno>

#include "store/base/error.h"

namespace varve {

namespace {

using sqlite::Connection;
using sqlite::Statement;
using sqlite::Transaction;

constexpr const char* kSchema = R"(
  CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE objects(
    digest BLOB PRIMARY KEY,
    segment INTEGER NOT NULL, offset INTEGER NOT NULL,
    stored_len INTEGER NOT NULL, data_len INTEGER NOT NULL, kind INTEGER NOT NULL,
    mirror_segment INTEGER NOT NULL, mirror_offset INTEGER NOT NULL,
    refs INTEGER NOT NULL, dead_csn INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX dead_objects ON objects(dead_csn) WHERE refs = 0;
  CREATE TABLE segments(
    id INTEGER PRIMARY KEY, sealed_bytes INTEGER NOT NULL DEFAULT 0,
    live_bytes INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE bad_objects(digest BLOB PRIMARY KEY) WITHOUT ROWID;
)";
constexpr const char* kObjectColumns =
    "segment, offset, stored_len, data_len, kind, mirror_segment, mirror_offset, refs, dead_csn";
constexpr const char* kPutObject =
    "INSERT OR REPLACE INTO objects(digest, segment, offset, stored_len, data_len, kind, "
    "mirror_segment, mirror_offset, refs, dead_csn) VALUES(?,?,?,?,?,?,?,?,?,?)";

ByteView view(const Digest& digest) { return digest.bytes; }

Digest digest_at(const Statement& row, int column) {
  const ByteView bytes = row.blob(column);
  Digest digest;
  if (bytes.size() != digest.bytes.size()) throw CorruptionError("index: a digest of wrong size");
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

/// The columns of kObjectColumns, which begin at `column`.
ObjectState state_at(const Statement& row, int column) {
  ObjectState state;
  Placement& placement = state.placement;
  placement.primary = Location{row.number(column), row.number(column + 1)};
  placement.stored_bytes = static_cast<std::uint32_t>(row.number(column + 2));
  placement.data_bytes = static_cast<std::uint32_t>(row.number(column + 3));
  placement.kind = row.number(column + 4) == 0 ? ObjectKind::kData : ObjectKind::kMetadata;
  placement.mirror = Location{row.number(column + 5), row.number(column + 6)};
  state.refs = row.number(column + 7);
  state.dead_csn = row.number(column + 8);
  return state;
}

void put_object(Statement& put, const Digest& digest, const ObjectState& state) {
  const Placement& placement = state.placement;
  put.run(view(digest), placement.primary.segment, placement.primary.offset,
          std::uint64_t{placement.stored_bytes}, std::uint64_t{placement.data_bytes},
          static_cast<std::uint64_t>(placement.kind), placement.mirror.segment,
          placement.mirror.offset, state.refs, state.dead_csn);
}

void write_new_meta(Connection& connection, const StoreId& store,
                    IndexDatabase::References references) {
  Statement put(connection, "INSERT INTO meta(key, value) VALUES(?, ?)");
  const auto number = [&](const char* key, std::uint64_t value) {
    put.run(std::string_view(key), value);
  };
  put.run("store_id", ByteView(store));
  number("format", IndexDatabase::kFormat);
  number("applied_csn", 0);
  number("references", static_cast<std::uint64_t>(references));
  number("objects", 0);
  number("referenced_bytes", 0);
  number("last_segment", 0);
}

}  // namespace

// --- IndexDatabase ---

void IndexDatabase::create(Disk& disk, const std::string& path, const StoreId& store) {
  Connection connection(disk, path, Connection::Mode::kCreate);
  connection.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;");
  Transaction change(connection);
  connection.run(kSchema);
  write_new_meta(connection, store, References::kExact);
  change.commit();
  connection.checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
}

IndexDatabase::IndexDatabase(Disk& disk, const std::string& path, const StoreId& store)
    : connection_(disk, path, Connection::Mode::kReadWrite) {
  connection_.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384;");
  // This one connection makes all checkpoints, when the index asks for them.
  sqlite3_wal_hook(
      connection_.get(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<IndexDatabase*>(self)->log_pages_ = static_cast<std::uint64_t>(pages);
        return SQLITE_OK;
      },
      this);
  try {
    get_meta_.emplace(connection_, "SELECT value FROM meta WHERE key = ?");
    check_owner(store);
    put_object_.emplace(connection_, kPutObject);
    delete_object_.emplace(connection_, "DELETE FROM objects WHERE digest = ?");
    put_meta_.emplace(connection_, "UPDATE meta SET value = ?2 WHERE key = ?1");
  } catch (const CorruptionError&) {
    throw;
  } catch (const StoreError& error) {
    // A missing table or column is SQLITE_ERROR: not a file that this program made.
    if (error.code() == EIO) throw CorruptionError(error.what());
    throw;
  }
}

void IndexDatabase::check_owner(const StoreId& store) {
  const std::uint64_t format = meta("format");
  if (format > kFormat) {
    throw UserError(ENOTSUP, connection_.path() + ": index format " + std::to_string(format) +
                                 " is newer than this program's; use a newer one");
  }
  if (format != kFormat) throw CorruptionError(connection_.path() + ": unknown index format");
  get_meta_->bind("store_id");
  const bool found = get_meta_->step();
  const ByteView owner = found ? get_meta_->blob(0) : ByteView();
  const bool ours = std::equal(owner.begin(), owner.end(), store.begin(), store.end());
  get_meta_->reset();
  if (!ours) throw CorruptionError(connection_.path() + ": the index of another store");
}

std::uint64_t IndexDatabase::meta(const char* key) {
  get_meta_->bind(std::string_view(key));
  if (!get_meta_->step()) {
    throw CorruptionError(connection_.path() + ": no value of " + key);
  }
  const std::uint64_t value = get_meta_->number(0);
  get_meta_->reset();
  return value;
}

void IndexDatabase::set_meta(const char* key, std::uint64_t value) {
  put_meta_->run(std::string_view(key), value);
}

IndexDatabase::Summary IndexDatabase::summary() {
  Summary out;
  out.applied_csn = meta("applied_csn");
  const std::uint64_t references = meta("references");
  if (references > 2) throw CorruptionError(connection_.path() + ": unknown state of references");
  out.references = static_cast<References>(references);
  out.objects = meta("objects");
  out.referenced_bytes = meta("referenced_bytes");
  out.last_segment = meta("last_segment");
  Statement segments(connection_, "SELECT id, sealed_bytes, live_bytes FROM segments");
  while (segments.step()) {
    const SegmentId id = segments.number(0);
    if (segments.integer(1) > 0) out.sealed_segments.emplace(id, segments.number(1));
    if (segments.integer(2) > 0) out.segment_live_bytes.emplace(id, segments.number(2));
  }
  Statement bad(connection_, "SELECT digest FROM bad_objects");
  while (bad.step()) out.damaged.push_back(digest_at(bad, 0));
  return out;
}

void IndexDatabase::set_durable(bool durable) {
  connection_.run(durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

void IndexDatabase::write(const IndexChange& change, bool durable) {
  // In a log, FULL flushes it with the commit; NORMAL leaves that to the next durable one.
  set_durable(durable);
  Transaction transaction(connection_);
  write_objects(change);
  write_segments(change);
  write_damage(change);
  set_meta("objects", meta("objects") + static_cast<std::uint64_t>(change.totals.objects));
  set_meta("referenced_bytes",
           meta("referenced_bytes") + static_cast<std::uint64_t>(change.totals.referenced_bytes));
  set_meta("last_segment", std::max(meta("last_segment"), change.last_segment));
  set_meta("applied_csn", change.csn);
  if (durable && log_is_unflushed_) touch();
  transaction.commit();
  log_is_unflushed_ = !durable;
}

/// SQLite flushes its log with a commit that writes to it. One that changes no byte writes nothing,
/// and what earlier commits left in the log would stay in the page cache.
void IndexDatabase::touch() {
  Statement version(connection_, "PRAGMA user_version");
  VARVE_CHECK(version.step());
  const std::int64_t next = version.integer(0) == 0 ? 1 : 0;
  version.reset();
  connection_.run(next == 0 ? "PRAGMA user_version=0" : "PRAGMA user_version=1");
}

void IndexDatabase::write_objects(const IndexChange& change) {
  // In the table's order: neighbours share pages.
  std::vector<const std::pair<const Digest, ObjectEntry>*> sorted;
  sorted.reserve(change.objects.size());
  for (const auto& object : change.objects) sorted.push_back(&object);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->first < b->first; });
  for (const auto* object : sorted) {
    const ObjectEntry& entry = object->second;
    if (!entry.erased) {
      put_object(*put_object_, object->first, entry.state);
    } else if (entry.row_exists) {
      delete_object_->run(view(object->first));
    }
  }
}

void IndexDatabase::write_segments(const IndexChange& change) {
  Statement add(connection_,
                "INSERT INTO segments(id, live_bytes) VALUES(?1, ?2) "
                "ON CONFLICT(id) DO UPDATE SET live_bytes = live_bytes + ?2");
  for (const auto& [id, bytes] : change.totals.segment_live_bytes) {
    if (bytes != 0) add.run(id, bytes);
  }
  Statement seal(connection_,
                 "INSERT INTO segments(id, sealed_bytes) VALUES(?1, ?2) "
                 "ON CONFLICT(id) DO UPDATE SET sealed_bytes = ?2");
  for (const auto& [id, bytes] : change.sealed_segments) seal.run(id, bytes);
  Statement forget(connection_, "DELETE FROM segments WHERE id = ?");
  for (const SegmentId id : change.forgotten_segments) forget.run(id);
}

void IndexDatabase::write_damage(const IndexChange& change) {
  Statement add(connection_, "INSERT OR IGNORE INTO bad_objects(digest) VALUES(?)");
  for (const Digest& digest : change.damaged) add.run(view(digest));
  Statement heal(connection_, "DELETE FROM bad_objects WHERE digest = ?");
  for (const Digest& digest : change.healed) heal.run(view(digest));
}

void IndexDatabase::checkpoint() { connection_.checkpoint(SQLITE_CHECKPOINT_PASSIVE); }

bool IndexDatabase::truncate_log() {
  const bool done = connection_.checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  if (done) log_pages_ = 0;
  return done;
}

void IndexDatabase::visit_digests(const std::function<bool(const Digest&)>& visit) {
  Statement all(connection_, "SELECT digest FROM objects");
  while (all.step()) {
    if (!visit(digest_at(all, 0))) return;
  }
}

void IndexDatabase::begin_references() {
  set_durable(true);
  Transaction transaction(connection_);
  if (static_cast<References>(meta("references")) != References::kZero) {
    connection_.run("UPDATE objects SET refs = 0, dead_csn = 0 WHERE refs <> 0");
    connection_.run("DELETE FROM objects WHERE segment = 0");
  }
  set_meta("references", static_cast<std::uint64_t>(References::kCounting));
  transaction.commit();
  checkpoint();
}

std::uint64_t IndexDatabase::add_references(
    const std::vector<std::pair<Digest, std::uint64_t>>& births) {
  set_durable(false);
  std::uint64_t lost = 0;
  Transaction transaction(connection_);
  Statement add(connection_, "UPDATE objects SET refs = refs + ?2 WHERE digest = ?1");
  for (const auto& [digest, count] : births) {
    add.run(view(digest), count);
    if (sqlite3_changes(connection_.get()) != 0) continue;
    ObjectState state;
    state.refs = count;
    put_object(*put_object_, digest, state);
    ++lost;
  }
  transaction.commit();
  checkpoint();
  return lost;
}

void IndexDatabase::finish_references(Csn csn) {
  set_durable(true);
  Transaction transaction(connection_);
  Statement sums(connection_,
                 "SELECT COUNT(*), TOTAL(CASE WHEN refs > 0 THEN stored_len * ((segment <> 0) + "
                 "(mirror_segment <> 0)) ELSE 0 END) FROM objects");
  sums.step();
  set_meta("objects", sums.number(0));
  set_meta("referenced_bytes", sums.number(1));
  sums.reset();
  set_meta("applied_csn", csn);
  set_meta("references", static_cast<std::uint64_t>(References::kExact));
  transaction.commit();
  checkpoint();
}

// --- IndexReader ---

IndexReader::IndexReader(Disk& disk, const std::string& path)
    : connection_(disk, path, Connection::Mode::kReadOnly),
      find_(connection_,
            std::string("SELECT ") + kObjectColumns + " FROM objects WHERE digest = ?"),
      dead_(connection_, std::string("SELECT digest, ") + kObjectColumns +
                             " FROM objects INDEXED BY dead_objects WHERE refs = 0 AND "
                             "dead_csn < ?1 AND (dead_csn, digest) > (?2, ?3) "
                             "ORDER BY dead_csn, digest LIMIT ?4") {
  connection_.run("PRAGMA cache_size=-4096");
}

std::optional<ObjectState> IndexReader::find(const Digest& digest) {
  find_.bind(view(digest));
  std::optional<ObjectState> state;
  if (find_.step()) state = state_at(find_, 0);
  find_.reset();
  return state;
}

std::vector<std::optional<ObjectState>> IndexReader::find_all(const std::vector<Digest>& digests) {
  std::vector<std::optional<ObjectState>> out;
  if (digests.empty()) return out;
  out.reserve(digests.size());
  // One read transaction instead of one for each digest.
  connection_.run("BEGIN");
  try {
    for (const Digest& digest : digests) out.push_back(find(digest));
  } catch (...) {
    sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
  connection_.run("COMMIT");
  return out;
}

std::vector<IndexReader::DeadObject> IndexReader::dead(Csn horizon,
                                                       const std::optional<DeadObject>& after,
                                                       std::uint64_t limit) {
  std::vector<DeadObject> out;
  // Any digest is greater than the empty blob, and any csn than -1.
  const std::int64_t after_csn = after ? static_cast<std::int64_t>(after->state.dead_csn) : -1;
  const ByteView after_digest = after ? view(after->digest) : ByteView();
  dead_.bind(horizon, after_csn, after_digest, limit);
  while (dead_.step()) out.push_back(DeadObject{digest_at(dead_, 0), state_at(dead_, 1)});
  dead_.reset();
  return out;
}

std::vector<LiveObject> IndexReader::live(const std::optional<Digest>& after, std::uint64_t limit) {
  return objects_where("refs > 0 AND digest > ?1", after, limit);
}

std::vector<LiveObject> IndexReader::all(const std::optional<Digest>& after, std::uint64_t limit) {
  return objects_where("digest > ?1", after, limit);
}

std::vector<LiveObject> IndexReader::objects_where(const char* condition,
                                                   const std::optional<Digest>& after,
                                                   std::uint64_t limit) {
  Statement next(connection_, std::string("SELECT digest, ") + kObjectColumns +
                                  " FROM objects WHERE " + condition + " ORDER BY digest LIMIT ?2");
  // Any digest is greater than the empty blob.
  next.bind(after ? view(*after) : as_bytes(""), limit);
  std::vector<LiveObject> out;
  while (next.step()) {
    const ObjectState state = state_at(next, 1);
    out.push_back(LiveObject{digest_at(next, 0), state.refs, state.placement});
  }
  return out;
}

std::vector<std::string> IndexReader::integrity() {
  Statement check(connection_, "PRAGMA integrity_check(8)");
  std::vector<std::string> out;
  while (check.step()) {
    const std::string line(as_text(check.blob(0)));
    if (line != "ok") out.push_back(line);
  }
  return out;
}

void IndexReader::visit_references(const std::function<void(const Digest&, std::uint64_t)>& visit) {
  Statement all(connection_, "SELECT digest, refs FROM objects WHERE refs > 0 ORDER BY digest");
  while (all.step()) visit(digest_at(all, 0), all.number(1));
}

// --- IndexBuilder ---

IndexBuilder::IndexBuilder(Disk& disk, const std::string& path, const StoreId& store)
    : connection_(disk, path, Connection::Mode::kCreate) {
  // A crash leaves a file that nobody looks at: no need for a rollback journal.
  connection_.run("PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384;");
  connection_.run("BEGIN IMMEDIATE");
  connection_.run(kSchema);
  // Filling the index of dead objects row by row is as fast as building it at the end: all rows
  // have dead_csn 0, so its order is the table's.
  write_new_meta(connection_, store, IndexDatabase::References::kZero);
  insert_.emplace(connection_, kPutObject);
}

void IndexBuilder::add(const Digest& digest, const Placement& placement) {
  ObjectState state;
  state.placement = placement;
  put_object(*insert_, digest, state);
  totals_.account(std::nullopt, state);
}

void IndexBuilder::finish(SegmentId last_segment) {
  {
    Statement put(connection_, "INSERT INTO segments(id, live_bytes) VALUES(?, ?)");
    for (const auto& [id, bytes] : totals_.segment_live_bytes) put.run(id, bytes);
    Statement meta(connection_, "UPDATE meta SET value = ?2 WHERE key = ?1");
    meta.run("objects", totals_.objects);
    meta.run("last_segment", last_segment);
  }
  insert_.reset();
  connection_.run("COMMIT");
}

}  // namespace varve
