// SPDX-License-Identifier: Apache-2.0
#include "store/journal_format.h"

#include <algorithm>
#include <cstring>

#include "store/base/error.h"
#include "store/checksum.h"

namespace varve {

namespace {

constexpr std::uint32_t kJournalRecordMagic = 0x4e4a5256;  // "VRJN"
constexpr std::size_t kJournalRecordMagicAt = 8;           // after the checksum
constexpr char kFileMagic[] = "VARVEJNL";

template <class T>
T load(ByteView bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
void store_at(std::span<std::byte> bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace

Lsn JournalLayout::place(Lsn lsn, std::uint64_t record_bytes) const {
  const Lsn first = std::max(lsn, first_of(span_of(lsn)));
  const bool fits = offset_of(first) + record_bytes <= file_bytes;
  return fits ? first : first_of(span_of(first) + 1);
}

std::uint64_t journal_seed(const std::array<std::byte, 16>& store_id) {
  return checksum_of(store_id);
}

Bytes JournalFileHeader::encode() const {
  Bytes out;
  ByteWriter writer(out);
  writer.u64(0);
  writer.raw(as_bytes(std::string_view(kFileMagic, 8)));
  writer.u32(kJournalVersion);
  writer.u32(epoch);
  writer.raw(store_id);
  writer.u64(base_lsn);
  writer.u64(file_bytes);
  out.resize(kJournalFileHeaderBytes);
  store_at(out, 0, checksum_of(ByteView(out).subspan(8), journal_seed(store_id)));
  return out;
}

std::optional<JournalFileHeader> JournalFileHeader::decode(
    ByteView block, const std::array<std::byte, 16>& store_id) {
  if (block.size() != kJournalFileHeaderBytes) return std::nullopt;
  if (load<std::uint64_t>(block, 0) != checksum_of(block.subspan(8), journal_seed(store_id))) {
    return std::nullopt;
  }
  ByteReader reader(block.subspan(8), "journal file header");
  if (as_text(reader.raw(8)) != std::string_view(kFileMagic, 8)) return std::nullopt;
  if (reader.u32() != kJournalVersion) return std::nullopt;
  JournalFileHeader out;
  out.epoch = reader.u32();
  const ByteView id = reader.raw(out.store_id.size());
  std::copy(id.begin(), id.end(), out.store_id.begin());
  out.base_lsn = reader.u64();
  out.file_bytes = reader.u64();
  if (out.store_id != store_id || out.file_bytes == 0 || out.base_lsn % out.file_bytes != 0) {
    return std::nullopt;
  }
  return out;
}

void JournalRecordHeader::seal(std::span<std::byte> record, std::uint64_t seed) const {
  VARVE_CHECK(record.size() == kJournalRecordHeaderBytes + payload_bytes);
  store_at(record, 8, kJournalRecordMagic);
  store_at(record, 12, payload_bytes);
  store_at(record, 16, lsn);
  store_at(record, 24, durable_lsn);
  store_at(record, 32, epoch);
  store_at(record, 36, gap_bytes);
  store_at(record, 40, static_cast<std::uint8_t>(type));
  store_at(record, 41, flags);
  store_at(record, 42, std::uint16_t{0});
  store_at(record, 44, std::uint32_t{0});
  store_at(record, 0, checksum_of(ByteView(record).subspan(8), seed ^ lsn));
}

/// Most of what it looks at is zeros, in all files of a journal at each start after a crash.
std::size_t JournalRecordHeader::find(ByteView bytes) {
  std::size_t at = 0;
  for (; at + kJournalRecordHeaderBytes <= bytes.size(); at += 8) {
    if (load<std::uint32_t>(bytes, at + kJournalRecordMagicAt) == kJournalRecordMagic) break;
  }
  return at;
}

std::optional<JournalRecordHeader> JournalRecordHeader::parse(ByteView bytes) {
  if (bytes.size() < kJournalRecordHeaderBytes) return std::nullopt;
  if (load<std::uint32_t>(bytes, kJournalRecordMagicAt) != kJournalRecordMagic) return std::nullopt;
  JournalRecordHeader out;
  out.payload_bytes = load<std::uint32_t>(bytes, 12);
  out.lsn = load<std::uint64_t>(bytes, 16);
  out.durable_lsn = load<std::uint64_t>(bytes, 24);
  out.epoch = load<std::uint32_t>(bytes, 32);
  out.gap_bytes = load<std::uint32_t>(bytes, 36);
  const auto type = load<std::uint8_t>(bytes, 40);
  out.flags = load<std::uint8_t>(bytes, 41);
  const bool known = type >= static_cast<std::uint8_t>(JournalType::kMark) &&
                     type <= static_cast<std::uint8_t>(JournalType::kSnapshot);
  const bool zeros = load<std::uint16_t>(bytes, 42) == 0 && load<std::uint32_t>(bytes, 44) == 0;
  if (!known || !zeros || (out.flags & ~(kMore | kContinued)) != 0 || out.durable_lsn > out.lsn) {
    return std::nullopt;
  }
  out.type = static_cast<JournalType>(type);
  return out;
}

bool JournalRecordHeader::verify(ByteView record, Lsn lsn, std::uint64_t seed) {
  return load<std::uint64_t>(record, 0) == checksum_of(record.subspan(8), seed ^ lsn);
}

}  // namespace varve
