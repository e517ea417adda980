// SPDX-License-Identifier: Apache-2.0
// The journal as recovery reads it, and what its records hold.
#include <sys/stat.h>

#include "fs/snapshot_cut.h"
#include "fs/transaction.h"
#include "store/journal_format.h"
#include "store/recovery.h"
#include "tests/fuzz/all_targets.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/memory_file.h"
#include "tests/support/volume_world.h"

namespace varve::fuzz {
namespace {

constexpr std::uint64_t kFileBytes = kJournalFileBytesMin;
constexpr std::size_t kHeader = kJournalRecordHeaderBytes;

/// What the first byte of an input asks for.
constexpr unsigned kSeal = 1;   ///< right checksums
constexpr unsigned kChain = 2;  ///< and right positions: each record follows the one before
constexpr unsigned kClean = 4;
constexpr unsigned kDrop = 8;
constexpr unsigned kLatest = 16;

StoreId journal_id() {
  StoreId id{};
  id.fill(std::byte{7});
  return id;
}

/// Seals the records from `at` on, as far as they look like records.
void seal_chain(std::span<std::byte> file, bool chain) {
  std::uint64_t at = kJournalFileHeaderBytes;
  while (at + kHeader <= file.size()) {
    auto header = JournalRecordHeader::parse(ByteView(file).subspan(at));
    if (!header) return;
    const std::uint64_t room = file.size() - at - kHeader;
    header->payload_bytes =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(header->payload_bytes, room));
    if (chain) {
      header->lsn = at;
      header->durable_lsn = std::min(header->durable_lsn, header->lsn);
      header->gap_bytes = 0;
    }
    header->seal(file.subspan(at, kHeader + header->payload_bytes), journal_seed(journal_id()));
    at += JournalRecordHeader::record_bytes(header->payload_bytes);
  }
}

void visit(const JournalRecord& record) {
  Overlay overlay;
  if (record.type == JournalType::kSnapshot) {
    SnapshotCut::decode(record.payload);
  } else {
    OperationCodec::volume_of(record.payload);
    OperationCodec::replay(record.payload, overlay);
    OperationCodec::request_of(record.payload);
  }
}

}  // namespace

void journal(ByteView input) {
  Input in(input);
  const unsigned wanted = in.u8();
  JournalFileHeader file_header;
  file_header.store_id = journal_id();
  file_header.file_bytes = kFileBytes;
  Bytes file = file_header.encode();
  const ByteView records = in.rest();
  file.insert(file.end(), records.begin(), records.end());
  file.resize(kFileBytes);
  if ((wanted & kSeal) != 0) seal_chain(file, (wanted & kChain) != 0);

  MemoryDisk disk;
  disk.files["journal/0000000000000001.log"] = std::move(file);
  Superblock superblock;
  superblock.id = journal_id();
  superblock.journal_start_lsn = superblock.durable_lsn = kJournalFileHeaderBytes;
  superblock.clean = (wanted & kClean) != 0;
  accepted([&] {
    const JournalRing ring(disk, {"journal", journal_id(), {kFileBytes}});
    const RecoveredState state =
        recover_state(ring, superblock, (wanted & kLatest) != 0, (wanted & kDrop) != 0);
    replay_records(ring, state, visit);
  });
}

std::vector<Bytes> journal_seeds() {
  Bytes records;
  std::uint64_t at = kJournalFileHeaderBytes;
  const auto add = [&](JournalType type, const Bytes& payload, std::uint8_t flags) {
    JournalRecordHeader header;
    header.payload_bytes = static_cast<std::uint32_t>(payload.size());
    header.lsn = at;
    header.durable_lsn = kJournalFileHeaderBytes;
    header.epoch = 1;
    header.type = type;
    header.flags = flags;
    Bytes record(kHeader);
    record.insert(record.end(), payload.begin(), payload.end());
    header.seal(record, journal_seed(journal_id()));
    record.resize(JournalRecordHeader::record_bytes(payload.size()));
    records.insert(records.end(), record.begin(), record.end());
    at = header.end_lsn();
  };
  const Bytes commit = commit_record_seeds().front();
  add(JournalType::kMark, {}, 0);
  add(JournalType::kOperation, operation_seeds().front(), 0);
  add(JournalType::kSnapshot, snapshot_cut_seeds().front(), 0);
  add(JournalType::kCommit, Bytes(commit.begin(), commit.begin() + 10), JournalRecordHeader::kMore);
  add(JournalType::kCommit, Bytes(commit.begin() + 10, commit.end()),
      JournalRecordHeader::kContinued);
  return {chosen(0, records), chosen(kSeal | kChain, records), chosen(kSeal | kClean, records)};
}

void operation(ByteView input) {
  accepted([&] {
    Overlay overlay;
    OperationCodec::volume_of(input);
    OperationCodec::replay(input, overlay);
    OperationCodec::request_of(input);
    VARVE_CHECK(overlay.empty() || overlay.memory_bytes() > 0);
  });
}

std::vector<Bytes> operation_seeds() {
  test::VolumeWorld world;
  AttachedVolume& volume = world.volume();
  const Caller caller;
  const Ino file = volume.make_node(kRootIno, "file", S_IFREG | 0644, 0, caller).ino;
  volume.write(file, 100, as_bytes("some bytes"), false);
  volume.write(file, 40'000, as_bytes("behind a hole"), false);
  volume.set_xattr(file, "user.note", as_bytes("value"), XattrMode::kAny, false);
  volume.link(file, kRootIno, "second");
  volume.allocate(file, AllocateMode::kPunchHole, 0, 16'384);
  volume.rename(kRootIno, "second", kRootIno, "third", RenameMode::kReplace);
  volume.unlink(kRootIno, "file");
  std::vector<Bytes> out;
  for (const auto& [type, payload] : world.store().records()) out.push_back(payload);
  return out;
}

void snapshot_cut(ByteView input) {
  accepted([&] {
    const SnapshotCut cut = SnapshotCut::decode(input);
    VARVE_CHECK(SnapshotCut::decode(cut.encode()).encode() == cut.encode());
  });
}

std::vector<Bytes> snapshot_cut_seeds() {
  return {SnapshotCut{VolumeId{1}, "nightly", 1'700'000'000, {{"team", "web"}}}.encode()};
}

}  // namespace varve::fuzz
