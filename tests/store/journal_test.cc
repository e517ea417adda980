// SPDX-License-Identifier: Apache-2.0
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

namespace varve {
namespace {

using test::DiskCall;
using test::FaultDisk;
using test::TempDirectory;

constexpr std::uint64_t kFileBytes = 64 * 1024;
constexpr std::size_t kHeader = kJournalRecordHeaderBytes;

struct Kept {
  Lsn lsn;
  Lsn end_lsn;
  JournalType type;
  std::string text;
};

Bytes read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

void overwrite(const std::string& path, std::uint64_t offset, ByteView bytes) {
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(offset));
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
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
      kept_.push_back({record.lsn, record.end_lsn, record.type,
                       std::string(as_text(record.payload))});
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

TEST_F(JournalTest, KeepsWhatWasAppendedWithoutAFlushWhenTheProcessDies) {
  open();
  append("one");
  append("", JournalType::kSnapshot);
  append(std::string(9000, 'x'));
  scan();
  EXPECT_EQ(texts(), (Texts{"one", "", std::string(9000, 'x')}));
  EXPECT_EQ(kept_[1].type, JournalType::kSnapshot);
}

TEST_F(JournalTest, GoesOnAfterEachOfManyReopens) {
  Texts expected;
  for (int round = 0; round < 20; ++round) {
    open();
    EXPECT_EQ(texts(), expected);
    expected.push_back("round " + std::to_string(round));
    append(expected.back());
  }
  scan();
  EXPECT_EQ(texts(), expected);
}

TEST_F(JournalTest, StartsARecordAfterAFlushAtANewBlock) {
  open();
  append("a");
  writer_->flush();
  const Lsn after = append("b");  // behind the mark, in the block that the flush began
  EXPECT_LT(after % kJournalBlockBytes, 4 * kHeader);
  append("c");
  writer_->flush();
  EXPECT_EQ(round_up(after, kJournalBlockBytes), writer_->end() / 4096 * 4096);
}

TEST_F(JournalTest, FlushesOnlyWhenSomethingWasAppended) {
  open();
  append("a");
  writer_->flush();
  const std::uint64_t before = disk_.plan().count(DiskCall::kSync);
  for (int i = 0; i < 10; ++i) writer_->flush();
  EXPECT_EQ(disk_.plan().count(DiskCall::kSync), before);
  append("b");
  writer_->flush();
  EXPECT_EQ(disk_.plan().count(DiskCall::kSync), before + 1);
}

TEST_F(JournalTest, RefusesAJournalOverwrittenWithNoise) {
  open();
  append("history");
  writer_->flush();
  append("acknowledged");
  writer_->flush();
  writer_.reset();
  std::mt19937_64 random(1);
  Bytes noise(kFileBytes);
  for (std::byte& byte : noise) byte = static_cast<std::byte>(random());
  overwrite(file(0), 0, noise);
  EXPECT_EQ(scan_code(), EIO);
}

TEST_F(JournalTest, RefusesAJournalOverwrittenWithZeros) {
  open();
  append("history");
  writer_->flush();
  writer_.reset();
  overwrite(file(0), 0, Bytes(kFileBytes));
  EXPECT_EQ(scan_code(), EIO);
}

TEST_F(JournalTest, RefusesWhenAFileIsMissingOrCut) {
  open();
  for (int i = 0; i < 9; ++i) append(std::string(16000, 'a'));
  writer_->flush();
  writer_.reset();
  ASSERT_TRUE(disk_.exists(file(2)));
  std::filesystem::resize_file(file(1), kFileBytes - 4096);
  EXPECT_EQ(scan_code(), EIO);
  std::filesystem::remove(file(1));
  EXPECT_EQ(scan_code(), EIO);
  for (std::uint64_t index = 0; index < 4; ++index) disk_.remove(file(index));
  EXPECT_EQ(scan_code(), EIO);
}

// Shortcut 9 of the design: neither is a torn tail damage, nor is damage a torn tail.
TEST_F(JournalTest, TellsEachFlippedByteOfTheLastTwoBatchesFromATornTail) {
  file_bytes_ = kFileBytes / 2;
  open();
  append("old");
  writer_->flush();
  const Lsn first = append("batch one, record one");
  append("batch one, record two");
  writer_->flush();
  append(std::string(1500, 'y'));
  append("batch two");
  writer_->flush();
  const Lsn tail = append("never flushed");
  writer_.reset();

  scan();
  const std::vector<Kept> all = kept_;
  ASSERT_EQ(all.size(), 6u);
  const Bytes content = read_all(file(0));
  const Lsn end = all.back().end_lsn;
  const Lsn durable_end = all[4].end_lsn;
  for (Lsn at = first; at < end; ++at) {
    SCOPED_TRACE("byte " + std::to_string(at));
    const Bytes flipped{content[at] ^ std::byte{0x40}};
    overwrite(file(0), at, flipped);
    bool refused = false;
    try {
      scan();
    } catch (const CorruptionError&) {
      refused = true;
    }
    overwrite(file(0), at, ByteView(content).subspan(at, 1));
    const bool in_record = std::any_of(all.begin(), all.end(), [&](const Kept& kept) {
      return at >= kept.lsn && at < kept.lsn + kHeader + kept.text.size();
    });
    if (at < durable_end && in_record) {
      EXPECT_TRUE(refused);
    } else if (!refused) {
      // Padding, a mark, or the tail: nothing that was flushed may be missing.
      ASSERT_GE(kept_.size(), 5u);
      for (std::size_t i = 0; i < kept_.size(); ++i) EXPECT_EQ(kept_[i].text, all[i].text);
      if (at >= tail && in_record) {
        EXPECT_EQ(kept_.size(), 5u);
      }
    }
  }
}

TEST_F(JournalTest, DropsATailTornAtAnyByte) {
  open();
  append("flushed");
  writer_->flush();
  for (int i = 0; i < 5; ++i) append("tail " + std::to_string(i) + std::string(40, 'z'));
  writer_.reset();
  scan();
  const std::vector<Kept> all = kept_;
  const Bytes content = read_all(file(0));
  for (Lsn cut = all[1].lsn; cut < all.back().end_lsn; ++cut) {
    SCOPED_TRACE("cut at " + std::to_string(cut));
    Bytes torn = content;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(cut), torn.end(), std::byte{0});
    overwrite(file(0), 0, torn);
    scan();
    std::size_t whole = 0;
    while (whole < all.size() && all[whole].lsn + kHeader + all[whole].text.size() <= cut) ++whole;
    // A cut in trailing zeros of a header or text can leave a record whole.
    EXPECT_GE(kept_.size(), whole);
    EXPECT_LE(kept_.size(), whole + 1);
    for (std::size_t i = 0; i < kept_.size(); ++i) EXPECT_EQ(kept_[i].text, all[i].text);
  }
}

TEST_F(JournalTest, NeverBringsBackStaleRecordsBehindANewTail) {
  open();
  append("kept");
  writer_->flush();
  std::vector<Lsn> stale;
  for (int i = 0; i < 400; ++i) stale.push_back(append("stale record " + std::to_string(100 + i)));
  const std::uint64_t stale_bytes = stale[1] - stale[0];
  writer_.reset();
  // The power cut loses the first of them; all others have reached the disk.
  overwrite(file(0), stale[0], Bytes(stale_bytes));
  open();
  EXPECT_EQ(texts(), Texts{"kept"});
  // The new records are of the same size, so that the last of them ends where a stale one begins.
  Texts expected{"kept"};
  for (int i = 0; i < 50; ++i) {
    expected.push_back("fresh record " + std::to_string(100 + i));
    append(expected.back());
  }
  writer_.reset();
  scan();
  EXPECT_EQ(texts(), expected);
  open();
  open();
  EXPECT_EQ(texts(), expected);
}

TEST_F(JournalTest, WrapsAroundManyTimesAndReadsWhatIsKept) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::filesystem::remove_all(journal_);
    disk_.make_directory(journal_);
    request_ = {kJournalBlockBytes, 0, 0, true, false};
    open();
    std::mt19937_64 random(seed);
    std::vector<Kept> written;
    for (int i = 0; i < 1500; ++i) {
      const std::string text(random() % 12000, static_cast<char>('a' + i % 26));
      const Lsn lsn = append(text);
      written.push_back({lsn, 0, JournalType::kOperation, text});
      if (random() % 4 == 0) writer_->flush();
      if (writer_->used_bytes() > writer_->capacity_bytes() / 2) {
        const std::size_t keep = std::min<std::size_t>(written.size(), random() % 6);
        written.erase(written.begin(), written.end() - static_cast<std::ptrdiff_t>(keep));
        trim(written.empty() ? writer_->end() : written.front().lsn);
      }
      if (random() % 50 != 0) continue;
      open();
      ASSERT_GE(kept_.size(), written.size());
      const std::size_t more = kept_.size() - written.size();  // before the wanted trim point
      for (std::size_t k = 0; k < written.size(); ++k) {
        ASSERT_EQ(kept_[more + k].lsn, written[k].lsn);
        ASSERT_EQ(kept_[more + k].text, written[k].text);
      }
    }
    EXPECT_GT(writer_->end(), 50 * kFileBytes);
    EXPECT_LE(disk_.list(journal_).size(), 4u);
  }
}

TEST_F(JournalTest, PlacesRecordsOfEverySizeAroundTheEndOfAFile) {
  const JournalLayout layout{kFileBytes};
  const std::uint64_t max = layout.payload_bytes_max();
  for (std::uint64_t left = 0; left <= 3 * kHeader; ++left) {
    SCOPED_TRACE("left " + std::to_string(left));
    std::filesystem::remove_all(journal_);
    disk_.make_directory(journal_);
    request_ = {kJournalBlockBytes, 0, 0, true, false};
    open();
    const std::uint64_t room = kFileBytes - writer_->end() - kHeader;
    append(std::string(room - left, 'f'));
    append("next");
    append(std::string(max, 'm'));
    append("last");
    writer_.reset();
    scan();
    ASSERT_EQ(kept_.size(), 4u);
    EXPECT_EQ(kept_[0].text.size(), room - left);
    EXPECT_EQ(kept_[2].text.size(), max);
    EXPECT_EQ(layout.offset_of(kept_[2].lsn), kJournalBlockBytes);
    EXPECT_EQ(kept_[3].text, "last");
  }
}

TEST_F(JournalTest, RefusesARecordLargerThanAFile) {
  open();
  const JournalLayout layout{kFileBytes};
  try {
    append(std::string(layout.payload_bytes_max() + 1, 'x'));
    FAIL();
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), EFBIG);
  }
  append("still usable");
}

TEST_F(JournalTest, SplitsALargeCommitOverRecordsAndFiles) {
  open();
  std::string text;
  for (int i = 0; i < 20000; ++i) text += std::to_string(i) + ",";
  append("before");
  writer_->append_split(JournalType::kCommit, as_bytes(text));
  append("after");
  writer_.reset();
  std::string joined;
  JournalRing ring(disk_, config());
  std::size_t records = 0;
  bool more = true;
  scan_journal(ring, request_, [&](const ScannedRecord& found) {
    if (found.record.type != JournalType::kCommit) return;
    EXPECT_EQ(found.continued, records > 0);
    joined += as_text(found.record.payload);
    more = found.more;
    ++records;
  });
  EXPECT_EQ(joined, text);
  EXPECT_FALSE(more);
  EXPECT_GT(records, 4u);
}

TEST_F(JournalTest, SharesOneFlushAmongAllThatWait) {
  open();
  constexpr int kThreads = 8;
  std::atomic<int> appended{0};
  std::atomic<int> syncs{0};
  disk_.plan().set_hook([&](DiskCall call, const std::string&) {
    if (call != DiskCall::kSync) return;
    ++syncs;
    while (appended.load() < kThreads) std::this_thread::yield();
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      append("thread " + std::to_string(i));
      ++appended;
      writer_->flush();
    });
  }
  for (std::thread& thread : threads) thread.join();
  disk_.plan().set_hook({});
  EXPECT_LE(syncs.load(), 2);
  EXPECT_GE(syncs.load(), 1);
}

TEST_F(JournalTest, StopsForEverAfterAFailedFlushAndNeverRetriesIt) {
  open();
  append("a");
  disk_.plan().fail(DiskCall::kSync, 1, EIO);
  EXPECT_THROW(writer_->flush(), StoreError);
  const std::uint64_t syncs = disk_.plan().count(DiskCall::kSync);
  for (int i = 0; i < 3; ++i) {
    try {
      writer_->flush();
      FAIL();
    } catch (const StoreError& error) {
      EXPECT_EQ(error.code(), EIO);
    }
    EXPECT_THROW(append("b"), StoreError);
  }
  EXPECT_TRUE(writer_->poisoned());
  EXPECT_EQ(disk_.plan().count(DiskCall::kSync), syncs);
}

TEST_F(JournalTest, TellsEveryWaiterOfAFailedFlush) {
  open();
  constexpr int kThreads = 6;
  std::atomic<int> appended{0};
  disk_.plan().set_hook([&](DiskCall call, const std::string&) {
    if (call != DiskCall::kSync) return;
    while (appended.load() < kThreads) std::this_thread::yield();
    throw StoreError(EIO, "no such luck");
  });
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      append("x");
      ++appended;
      try {
        writer_->flush();
      } catch (const StoreError& error) {
        if (error.code() == EIO) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  disk_.plan().set_hook({});
  EXPECT_EQ(failed.load(), kThreads);
}

// The kernel can forget that a page is dirty when its write fails: a flush after a reopen says that
// all is well though the disk has nothing.
TEST_F(JournalTest, WritesWhatWasNeverFlushedAgainWhenItOpens) {
  open();
  append("flushed");
  writer_->flush();
  append("not flushed " + std::string(7000, 'x'));
  const std::uint64_t writes = disk_.plan().count(DiskCall::kWrite);
  open();
  EXPECT_EQ(disk_.plan().count(DiskCall::kWrite) - writes, 3u);  // the tail and two marks
  EXPECT_EQ(texts().size(), 2u);
}

TEST_F(JournalTest, StopsAfterAFailedWrite) {
  open();
  disk_.plan().fail(DiskCall::kWrite, 1, EIO);
  EXPECT_THROW(append("a"), StoreError);
  EXPECT_THROW(append("b"), StoreError);
  EXPECT_THROW(writer_->flush(), StoreError);
}

TEST_F(JournalTest, KeepsTheLastEighthOfTheRingForCommits) {
  open();
  std::uint64_t count = 0;
  for (;; ++count) {
    try {
      append(std::string(4000, 'x'));
    } catch (const StoreError& error) {
      EXPECT_EQ(error.code(), ENOSPC);
      break;
    }
  }
  EXPECT_GT(count, 40u);
  EXPECT_FALSE(writer_->poisoned());
  for (int i = 0; i < 4; ++i) append(std::string(4000, 'c'), JournalType::kCommit);
  writer_->flush();
  EXPECT_THROW(append("operation"), StoreError);
  trim(writer_->end());
  append("operation");
  open();
  EXPECT_EQ(texts().back(), "operation");
}

TEST_F(JournalTest, OpensAgainAndAgainWhenItIsFullToTheBrim) {
  open();
  EXPECT_THROW({ for (;;) append(std::string(3000, 'x')); }, StoreError);
  EXPECT_THROW({ for (;;) append(std::string(3000, 'x'), JournalType::kCommit); }, StoreError);
  EXPECT_FALSE(writer_->poisoned());
  for (int i = 0; i < 40; ++i) open();
  EXPECT_TRUE(writer_->has_room(5000));
  append("the commit that frees it", JournalType::kCommit);
  trim(writer_->end());
  append("operation");
  open();
  EXPECT_EQ(texts().back(), "operation");
}

TEST_F(JournalTest, KnowsWhetherACommitHasRoom) {
  for (std::uint64_t size = 1000; size < 300'000; size += 17'000) {
    SCOPED_TRACE("commit of " + std::to_string(size) + " bytes");
    std::filesystem::remove_all(journal_);
    disk_.make_directory(journal_);
    request_ = {kJournalBlockBytes, 0, 0, true, false};
    open();
    const std::string text(size, 'c');
    while (writer_->has_room(size)) {
      writer_->append_split(JournalType::kCommit, as_bytes(text));
    }
    trim(writer_->end());  // a mark always has room
  }
}

TEST_F(JournalTest, IsFullEarlyWhenTheHostHasNoSpaceToGrow) {
  open();
  disk_.plan().fail(DiskCall::kOpen, 1, ENOSPC, true, ".log.new");
  int count = 0;
  try {
    for (;; ++count) append(std::string(4000, 'x'));
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), ENOSPC);
  }
  EXPECT_LT(count, 16);
  EXPECT_FALSE(writer_->poisoned());
  disk_.plan().clear();
  trim(writer_->end());
  for (int i = 0; i < 16; ++i) append(std::string(4000, 'x'));
}

TEST_F(JournalTest, KeepsTheReadablePrefixWhenAskedToDropDamage) {
  open();
  append("first");
  writer_->flush();
  const Lsn bad = append("second");
  writer_->flush();
  append("third");
  writer_->flush();
  writer_.reset();
  const Bytes noise(kHeader, std::byte{0xee});
  overwrite(file(0), bad, noise);
  EXPECT_EQ(scan_code(), EIO);
  request_.drop_damaged = true;
  open();
  EXPECT_EQ(texts(), Texts{"first"});
  append("fourth");
  writer_->flush();
  open();
  EXPECT_EQ(texts(), (Texts{"first", "fourth"}));
}

TEST_F(JournalTest, StartsAfreshWhenNothingIsReadableAndDroppingIsAskedFor) {
  open();
  append("first");
  writer_->flush();
  writer_.reset();
  overwrite(file(0), 0, Bytes(kFileBytes, std::byte{0x11}));
  request_.drop_damaged = true;
  JournalRing ring(disk_, config());
  const JournalScanResult found = scan(ring);
  EXPECT_TRUE(found.dropped);
  EXPECT_TRUE(kept_.empty());
  EXPECT_GT(found.end_lsn, kFileBytes);
  EXPECT_EQ(found.end_lsn % kFileBytes, 0u);
}

TEST_F(JournalTest, GivesNoRecordOfAnotherStore) {
  open();
  append("mine");
  writer_.reset();
  JournalRing::Config other = config();
  other.store_id.fill(std::byte{8});
  JournalRing ring(disk_, other);
  EXPECT_THROW(scan(ring), CorruptionError);
}

TEST_F(JournalTest, LetsThreadsAppendFlushAndTrimTogether) {
  open();
  constexpr int kThreads = 8;
  constexpr int kEach = 300;
  std::atomic<int> running{kThreads};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach;) {
        try {
          append(std::to_string(thread) + " " + std::to_string(i) + " " +
                 std::string(static_cast<std::size_t>(i * 7 % 900), '.'));
          if (i % 5 == 0) writer_->flush();
          ++i;
        } catch (const StoreError& error) {
          ASSERT_EQ(error.code(), ENOSPC);
          ++refused;
          std::this_thread::yield();
        }
      }
      --running;
    });
  }
  while (running.load() > 0) {
    if (writer_->used_bytes() > writer_->capacity_bytes() / 4) trim(writer_->end());
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  writer_.reset();
  scan();
  // Records of one thread keep their order.
  std::vector<int> last(kThreads, -1);
  for (const Kept& kept : kept_) {
    const int thread = kept.text[0] - '0';
    const int number = std::stoi(kept.text.substr(2));
    if (last[static_cast<std::size_t>(thread)] >= 0) {
      EXPECT_EQ(number, last[static_cast<std::size_t>(thread)] + 1);
    }
    last[static_cast<std::size_t>(thread)] = number;
  }
}

TEST_F(JournalTest, RemovesWhatAnInterruptedGrowthLeft) {
  open();
  append("kept");
  writer_.reset();
  std::ofstream(file(1) + ".new") << "half a file";
  open();
  EXPECT_EQ(texts(), Texts{"kept"});
  EXPECT_FALSE(disk_.exists(file(1) + ".new"));
}

}  // namespace
}  // namespace varve
