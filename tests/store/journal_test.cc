// SPDX-License-Identifier: Apache-2.0
#include "tests/store/journal_fixture.h"

namespace varve::test {
namespace {

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

TEST_F(JournalTest, WritesBlocksThatItEntersToTheirEnd) {
  open();
  append("a");
  writer_->flush();
  const std::uint64_t entered = round_up(writer_->end(), kJournalBlockBytes);
  constexpr std::byte kOld{0xaa};
  overwrite(file(0), entered, Bytes(kFileBytes - entered, kOld));
  for (const std::size_t size : {5000u, 10u, 3000u, 300u, 9000u, 4096u, 1u}) {
    append(std::string(size, 'x'));
    const Bytes bytes = read_all(file(0));
    const std::uint64_t end = writer_->end();
    const std::uint64_t block_end = round_up(end, kJournalBlockBytes);
    for (std::uint64_t at = end; at < block_end; ++at) ASSERT_EQ(bytes[at], std::byte{0}) << at;
    for (std::uint64_t at = block_end; at < kFileBytes; ++at) ASSERT_EQ(bytes[at], kOld) << at;
  }
  writer_.reset();
  open();
  EXPECT_EQ(kept_.size(), 8u);
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

}  // namespace
}  // namespace varve::test
