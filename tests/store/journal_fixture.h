// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "store/base/error.h"
#include "store/journal_scan.h"
#include "store/journal_writer.h"
#include "store/store_directory.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve::test {

inline constexpr std::uint64_t kFileBytes = 64 * 1024;
inline constexpr std::size_t kHeader = kJournalRecordHeaderBytes;

struct Kept {
  Lsn lsn;
  Lsn end_lsn;
  JournalType type;
  std::string text;
};

inline Bytes read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

inline void overwrite(const std::string& path, std::uint64_t offset, ByteView bytes) {
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(offset));
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

/// A journal without a store: what the superblock would say is kept in members.
class JournalTest : public ::testing::Test {
 protected:
  JournalTest() { disk_.make_directory(journal_); }

  JournalRing::Config config() const {
    JournalRing::Config out;
    out.directory = journal_;
    out.store_id.fill(std::byte{7});
    out.layout.file_bytes = file_bytes_;
    return out;
  }

  JournalScanResult scan() {
    kept_.clear();
    JournalRing ring(disk_, config());
    return scan(ring);
  }
  JournalScanResult scan(const JournalRing& ring) {
    kept_.clear();
    return scan_journal(ring, request_, [&](const ScannedRecord& found) {
      const JournalRecord& record = found.record;
      if (record.type == JournalType::kMark) return;
      kept_.push_back(
          {record.lsn, record.end_lsn, record.type, std::string(as_text(record.payload))});
    });
  }

  /// Opens as the store does, and remembers what the superblock would.
  void open() {
    writer_.reset();
    JournalRing ring(disk_, config());
    const JournalScanResult found = scan(ring);
    JournalWriter::Position position{found.end_lsn, found.end_lsn, found.durable_lsn,
                                     std::max(found.epoch, epoch_) + 1, found.marks};
    if (!found.marks.empty()) position.start_lsn = request_.start_lsn;
    writer_ = std::make_unique<JournalWriter>(disk_, std::move(ring), options_, position);
    epoch_ = writer_->epoch();
    if (found.marks.empty()) request_.start_lsn = writer_->first_mark();
    request_.durable_lsn = writer_->durable();
    request_.may_be_empty = false;
    request_.drop_damaged = false;
  }
  /// What a checkpoint does.
  void trim(Lsn wanted) {
    writer_->flush_with_mark();
    const Lsn start = writer_->mark_before(wanted);
    request_.start_lsn = start;
    request_.durable_lsn = writer_->durable();
    writer_->trim(start);
  }

  Lsn append(const std::string& text, JournalType type = JournalType::kOperation) {
    return writer_->append(type, {as_bytes(text)});
  }
  std::string file(std::uint64_t index) const {
    return journal_ + "/" + StorePaths::journal_file_name(index);
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    for (const Kept& kept : kept_) out.push_back(kept.text);
    return out;
  }
  int scan_code() {
    try {
      scan();
    } catch (const CorruptionError& error) {
      EXPECT_NE(std::string(error.what()).find("--drop-damaged-journal"), std::string::npos);
      return error.code();
    }
    return 0;
  }

  TempDirectory directory_;
  FaultDisk disk_;
  std::string journal_ = directory_ / "journal";
  std::uint64_t file_bytes_ = kFileBytes;
  JournalWriter::Options options_{4, 0};
  JournalScanRequest request_{kJournalBlockBytes, 0, 0, true, false};
  std::uint32_t epoch_ = 0;
  std::vector<Kept> kept_;
  std::unique_ptr<JournalWriter> writer_;
};

using Texts = std::vector<std::string>;

}  // namespace varve::test
