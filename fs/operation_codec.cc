// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <utility>

#include "fs/transaction.h"
#include "fs/volume.h"
#include "snapshot/node.h"
#include "store/base/error.h"

// volume u64 | request u64 | record count varint | change count varint
// each record: key[17] | present u8 | value sized, if present
// each change: what u8 | ino varint | offset varint | size varint | region record sized, if shared
// then the bytes of each write, in order

namespace varve {
namespace {

constexpr const char* kSubject = "journalled operation";
/// Writes up to this many go to the journal without being copied together first.
constexpr std::size_t kMaxParts = 2;

}  // namespace

Bytes OperationCodec::encode_header(const Transaction& transaction) {
  Bytes bytes;
  std::size_t estimate = 64 + transaction.data_.size() * 32;
  for (const auto& [key, value] : transaction.records_) {
    estimate += Key::kEncodedBytes + 4 + (value ? value->size() : 0);
  }
  bytes.reserve(estimate);
  ByteWriter out(bytes);
  out.u64(static_cast<std::uint64_t>(transaction.head_.volume()));
  out.u64(static_cast<std::uint64_t>(transaction.request_));
  out.varint(transaction.records_.size());
  out.varint(transaction.data_.size());
  for (const auto& [key, value] : transaction.records_) {
    out.raw(key.encode());
    out.u8(value ? 1 : 0);
    if (value) out.sized(ByteView(*value));
  }
  for (const DataChange& change : transaction.data_) {
    out.u8(static_cast<std::uint8_t>(change.what));
    out.varint(to_integer(change.ino));
    out.varint(change.offset);
    out.varint(change.size);
    if (change.what == DataChange::What::kShare) out.sized(ByteView(change.region.encode()));
  }
  return bytes;
}

Lsn OperationCodec::append(const Transaction& transaction, JournalAppender& journal) {
  Bytes header = encode_header(transaction);
  std::vector<ByteView> parts;
  for (const DataChange& change : transaction.data_) {
    if (!change.data.empty()) parts.push_back(change.data);
  }
  if (parts.size() > kMaxParts) {
    for (const ByteView part : parts) header.insert(header.end(), part.begin(), part.end());
    parts.clear();
  }
  parts.resize(kMaxParts);
  return journal.append(JournalType::kOperation, {ByteView(header), parts[0], parts[1]});
}

void OperationCodec::apply(Transaction& transaction, Overlay& overlay) noexcept {
  apply(std::move(transaction.records_), transaction.data_, overlay);
}

void OperationCodec::apply(Records&& records, const std::vector<DataChange>& data,
                           Overlay& overlay) {
  using What = DataChange::What;
  for (auto& [key, value] : records) overlay.set(key, std::move(value));
  for (const DataChange& change : data) {
    if (change.what == What::kDrop) {
      overlay.drop_data(change.ino);
      continue;
    }
    overlay.change_data(change.ino, [&](FileData& file) {
      if (change.what == What::kWrite) file.write(change.offset, change.data);
      if (change.what == What::kPunch) file.punch(change.offset, change.size);
      if (change.what == What::kCut) file.cut(change.size);
      if (change.what == What::kShare) file.share(change.offset, change.region);
    });
  }
}

VolumeId OperationCodec::volume_of(ByteView payload) {
  return VolumeId{ByteReader(payload, kSubject).u64()};
}

Transaction::DataChange OperationCodec::decode_change(ByteReader& in) {
  using What = DataChange::What;
  DataChange change;
  const std::uint8_t what = in.u8();
  if (what > static_cast<std::uint8_t>(What::kDrop)) in.fail("unknown change");
  change.what = What{what};
  change.ino = Ino{in.varint()};
  if (change.ino == kHeadIno) in.fail("data of inode 0");
  change.offset = in.varint();
  change.size = in.varint();
  if (change.what == What::kShare) {
    change.region = RegionRecord::decode(in.sized());
    if (change.offset > kMaxFileBytes / kRegionBytes) in.fail("region");
  } else if (change.offset > kMaxFileBytes || change.size > kMaxFileBytes - change.offset) {
    in.fail("range past the largest file");
  }
  return change;
}

struct OperationCodec::Decoded {
  RequestId request = kNoRequest;
  Records records;
  std::vector<DataChange> data;
};

OperationCodec::Decoded OperationCodec::decode(ByteView payload) {
  ByteReader in(payload, kSubject);
  in.u64();  // volume
  Decoded out;
  out.request = RequestId{in.u64()};
  const std::uint64_t record_count = in.varint();
  const std::uint64_t change_count = in.varint();
  for (std::uint64_t i = 0; i < record_count; ++i) {
    const Key key = Key::decode(in.raw(Key::kEncodedBytes));
    const std::uint8_t present = in.u8();
    if (present > 1) in.fail("presence of a record");
    std::optional<Bytes> value;
    if (present == 1) {
      const ByteView bytes = in.sized();
      // Only what becomes an object at the commit may be longer than a record of the tree.
      const bool has_blob = key.kind == Kind::kInode || key.kind == Kind::kXattr;
      if (!has_blob && bytes.size() > kMaxValueBytes) in.fail("a value longer than any record");
      value.emplace(bytes.begin(), bytes.end());
    }
    if (!out.records.emplace(key, std::move(value)).second) in.fail("two records with one key");
  }
  for (std::uint64_t i = 0; i < change_count; ++i) out.data.push_back(decode_change(in));
  for (DataChange& change : out.data) {
    if (change.what == DataChange::What::kWrite) change.data = in.raw(change.size);
  }
  in.expect_done();
  return out;
}

void OperationCodec::replay(ByteView payload, Overlay& overlay) {
  Decoded decoded = decode(payload);
  apply(std::move(decoded.records), decoded.data, overlay);
}

std::optional<AppliedRequest> OperationCodec::request_of(ByteView payload) {
  ByteReader header(payload, kSubject);
  header.u64();  // volume
  if (header.u64() == 0) return std::nullopt;
  const Decoded decoded = decode(payload);
  AppliedRequest out{decoded.request, 0, kHeadIno};
  for (const auto& [key, value] : decoded.records) {
    if (!value) continue;
    if (key.kind == Kind::kDirent) out.made = DirentRecord::decode(*value).ino;
    if (key.kind == Kind::kOrphan) out.made = Ino{key.sub};
  }
  return out;
}

}  // namespace varve
