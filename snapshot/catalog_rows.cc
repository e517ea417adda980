// SPDX-License-Identifier: Apache-2.0
#include "snapshot/catalog_rows.h"

#include <limits>
#include <string>

#include "snapshot/names.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::uint8_t kRowFormat = 1;
/// Numbers are counted up from 1: a higher one was never given out, and the next would overflow.
constexpr std::uint64_t kMaxRowNumber = 1ull << 62;

constexpr std::uint8_t kNodeIsHead = 1;
constexpr std::uint8_t kNodeIsHidden = 2;
constexpr std::uint8_t kVolumeIsProtected = 1;
constexpr std::uint8_t kDeletionIsStuck = 1;

/// Collects a row's bytes behind the format byte.
class RowWriter : public ByteWriter {
 public:
  RowWriter() : ByteWriter(bytes_) { u8(kRowFormat); }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

ByteReader row_reader_of(ByteView bytes, const char* subject) {
  ByteReader in(bytes, subject);
  if (in.u8() != kRowFormat) in.fail("unknown row format");
  return in;
}

std::uint8_t decode_flags(ByteReader& in, std::uint8_t known) {
  const std::uint8_t flags = in.u8();
  if ((flags & ~known) != 0) in.fail("unknown flags");
  return flags;
}

bool decode_bool(ByteReader& in) { return decode_flags(in, 1) != 0; }

void encode_ptr(ByteWriter& out, const std::optional<Ptr>& ptr) {
  out.u8(ptr ? 1 : 0);
  if (ptr) ptr->encode(out);
}

std::optional<Ptr> decode_ptr(ByteReader& in) {
  if (!decode_bool(in)) return std::nullopt;
  return Ptr::decode(in);
}

/// An id, or 0 for none; ids begin at 1.
template <class Id>
void encode_id(ByteWriter& out, const std::optional<Id>& id) {
  out.varint(id ? static_cast<std::uint64_t>(*id) : 0);
}

template <class Id>
std::optional<Id> decode_optional_id(ByteReader& in) {
  const std::uint64_t value = in.varint();
  if (value == 0) return std::nullopt;
  return Id{value};
}

template <class Id>
Id decode_id(ByteReader& in) {
  const std::uint64_t value = in.varint();
  if (value == 0) in.fail("id 0");
  return Id{value};
}

void encode_labels(ByteWriter& out, const std::map<std::string, std::string>& labels) {
  out.varint(labels.size());
  for (const auto& [key, value] : labels) {
    out.sized(key);
    out.sized(value);
  }
}

std::map<std::string, std::string> decode_labels(ByteReader& in) {
  std::map<std::string, std::string> out;
  for (std::uint64_t left = in.varint(); left > 0; --left) {
    std::string key = in.sized_text();
    if (!out.empty() && key <= out.rbegin()->first) in.fail("labels out of order");
    out.emplace_hint(out.end(), std::move(key), in.sized_text());
  }
  return out;
}

/// Names are shown, logged and given to the kernel; what no command lets in is not taken from a
/// store either.
void check_name(NameOf what, const std::string& name, const ByteReader& in) {
  try {
    validate_name(what, name);
  } catch (const UserError& refused) {
    in.fail(refused.what());
  }
}

}  // namespace

Key row_key(RowType type, std::uint64_t id) {
  return {Ino{static_cast<std::uint64_t>(type)}, Kind::kHeadInfo, id};
}

Bytes encode_row(const CountersRow& row) {
  RowWriter out;
  out.varint(row.next_volume);
  out.varint(row.next_node);
  out.varint(row.next_family);
  out.varint(row.next_deletion);
  return out.take();
}

CountersRow decode_counters(ByteView bytes) {
  ByteReader in = row_reader_of(bytes, "catalog counters");
  CountersRow row;
  row.next_volume = in.varint();
  row.next_node = in.varint();
  row.next_family = in.varint();
  row.next_deletion = in.varint();
  in.expect_done();
  for (const std::uint64_t next :
       {row.next_volume, row.next_node, row.next_family, row.next_deletion}) {
    if (next == 0 || next > kMaxRowNumber) in.fail("a number that no store reaches");
  }
  return row;
}

Bytes encode_row(const FamilyRow& row) {
  RowWriter out;
  out.varint(row.last_txg);
  return out.take();
}

FamilyRow decode_family(FamilyId id, ByteView bytes) {
  ByteReader in = row_reader_of(bytes, "catalog family");
  FamilyRow row;
  row.id = id;
  row.last_txg = in.varint();
  in.expect_done();
  if (row.last_txg > kMaxRowNumber) in.fail("a number that no store reaches");
  return row;
}

Bytes encode_row(const LineageNode& row) {
  RowWriter out;
  out.u8(static_cast<std::uint8_t>((row.is_head ? kNodeIsHead : 0) |
                                   (row.hidden ? kNodeIsHidden : 0)));
  out.varint(static_cast<std::uint64_t>(row.family));
  encode_id(out, row.parent);
  out.varint(row.txg);
  encode_ptr(out, row.root);
  return out.take();
}

LineageNode decode_node(NodeId id, ByteView bytes) {
  ByteReader in = row_reader_of(bytes, "catalog lineage node");
  LineageNode row;
  row.id = id;
  const std::uint8_t flags = decode_flags(in, kNodeIsHead | kNodeIsHidden);
  row.is_head = (flags & kNodeIsHead) != 0;
  row.hidden = (flags & kNodeIsHidden) != 0;
  row.family = decode_id<FamilyId>(in);
  row.parent = decode_optional_id<NodeId>(in);
  row.txg = in.varint();
  row.root = decode_ptr(in);
  in.expect_done();
  if (row.is_head && (row.hidden || row.txg != 0)) in.fail("a head with a snapshot's marks");
  return row;
}

Bytes encode_row(const VolumeRow& row) {
  RowWriter out;
  out.u8(row.protect ? kVolumeIsProtected : 0);
  out.sized(row.name);
  out.varint(static_cast<std::uint64_t>(row.head));
  out.i64(row.created_ns);
  out.i64(row.trashed_ns);
  out.varint(row.committed_lsn);
  out.sized(row.source);
  encode_labels(out, row.labels);
  return out.take();
}

VolumeRow decode_volume(VolumeId id, ByteView bytes) {
  ByteReader in = row_reader_of(bytes, "catalog volume");
  VolumeRow row;
  row.id = id;
  row.protect = decode_flags(in, kVolumeIsProtected) != 0;
  row.name = in.sized_text();
  row.head = decode_id<NodeId>(in);
  row.created_ns = in.i64();
  row.trashed_ns = in.i64();
  row.committed_lsn = in.varint();
  row.source = in.sized_text();
  row.labels = decode_labels(in);
  in.expect_done();
  check_name(NameOf::kVolume, row.name, in);
  return row;
}

Bytes encode_row(const SnapshotRow& row) {
  RowWriter out;
  out.varint(static_cast<std::uint64_t>(row.volume));
  out.sized(row.name);
  out.i64(row.created_ns);
  out.varint(row.logical_bytes);
  out.varint(row.quota_bytes);
  encode_labels(out, row.labels);
  return out.take();
}

SnapshotRow decode_snapshot(NodeId id, ByteView bytes) {
  ByteReader in = row_reader_of(bytes, "catalog snapshot");
  SnapshotRow row;
  row.node = id;
  row.volume = decode_id<VolumeId>(in);
  row.name = in.sized_text();
  row.created_ns = in.i64();
  row.logical_bytes = in.varint();
  row.quota_bytes = in.varint();
  row.labels = decode_labels(in);
  in.expect_done();
  check_name(NameOf::kSnapshot, row.name, in);
  return row;
}

Bytes encode_row(const DeletionRow& row) {
  RowWriter out;
  out.u8(row.stuck ? kDeletionIsStuck : 0);
  row.root.encode(out);
  out.varint(row.lo);
  encode_ptr(out, row.compare);
  encode_id(out, row.child);
  out.varint(row.pinned_csn);
  out.u8(row.cursor ? 1 : 0);
  if (row.cursor) {
    out.u8(row.cursor->level);
    out.raw(row.cursor->key.encode());
    out.u8(row.cursor->released);
  }
  return out.take();
}

DeletionRow decode_deletion(DeletionId id, ByteView bytes) {
  ByteReader in = row_reader_of(bytes, "catalog deletion");
  DeletionRow row;
  row.id = id;
  row.stuck = decode_flags(in, kDeletionIsStuck) != 0;
  row.root = Ptr::decode(in);
  row.lo = in.varint();
  row.compare = decode_ptr(in);
  row.child = decode_optional_id<NodeId>(in);
  row.pinned_csn = in.varint();
  if (decode_bool(in)) {
    row.cursor.emplace();
    row.cursor->level = in.u8();
    row.cursor->key = Key::decode(in.raw(Key::kEncodedBytes));
    row.cursor->released = in.u8();
    if (row.cursor->released > 0 && row.cursor->level > 0) in.fail("cursor inside of a node");
  }
  in.expect_done();
  return row;
}

Bytes encode_root(const Ptr& catalog) {
  RowWriter out;
  catalog.encode(out);
  return out.take();
}

Ptr decode_root(ByteView bytes) {
  ByteReader in = row_reader_of(bytes, "catalog root");
  const Ptr out = Ptr::decode(in);
  in.expect_done();
  return out;
}

}  // namespace varve
