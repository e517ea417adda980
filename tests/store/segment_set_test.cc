// SPDX-License-Identifier: Apache-2.0
#include "store/segment_set.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "store/base/error.h"
#include "store/segment_scan.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::DiskCall;
using test::random_content;
using test::text_content;

constexpr std::uint64_t kSegmentBytes = 64 * 1024;

class SegmentSetTest : public ::testing::Test {
 protected:
  SegmentSetTest() { store_.fill(std::byte{9}); }

  std::unique_ptr<SegmentSet> open() {
    return std::make_unique<SegmentSet>(disk_, directory_.path(), store_, kSegmentBytes,
                                        std::map<SegmentId, std::uint64_t>(), 0);
  }
  Location append(SegmentSet& set, const Bytes& content, SegmentHolds& holds,
                  SegmentStream stream = SegmentStream::kPrimary) {
    StoredRecord record = make_record(digest_of(content), content, ObjectKind::kData, 0);
    return set.append(stream, record, holds);
  }
  Bytes read(const SegmentSet& set, const Bytes& content, const Location& location) {
    return set.read(digest_of(content), location,
                    static_cast<std::uint32_t>(record_bytes(content.size())));
  }
  std::vector<FooterEntry> records(const SegmentSet& set, SegmentId id) {
    std::vector<FooterEntry> out;
    set.visit_records(id, [&](const FooterEntry& entry) { out.push_back(entry); });
    return out;
  }
  std::string path_of(SegmentId id) { return directory_ / segment_file_name(id); }
  SegmentIdentity identity(SegmentId id) const { return {store_, id}; }

  test::TempDirectory directory_;
  test::FaultDisk disk_;
  StoreId store_{};
};

TEST_F(SegmentSetTest, ReadsBackWhatWasAppended) {
  const auto set = open();
  SegmentHolds holds;
  std::vector<std::pair<Bytes, Location>> all;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const Bytes content = random_content(i, 1 + i * 7);
    all.emplace_back(content, append(*set, content, holds));
  }
  for (const auto& [content, location] : all) EXPECT_EQ(read(*set, content, location), content);
  EXPECT_GT(set->list().size(), 1u);
  for (const auto& info : set->list()) EXPECT_LE(info.bytes, kSegmentBytes);
}

TEST_F(SegmentSetTest, KeepsStreamsInSegmentsOfTheirOwn) {
  const auto set = open();
  SegmentHolds holds;
  const Bytes content = text_content(1, 500);
  const Location primary = append(*set, content, holds);
  const Location mirror = append(*set, content, holds, SegmentStream::kMirror);
  const Location moved = append(*set, content, holds, SegmentStream::kMoved);
  EXPECT_NE(primary.segment, mirror.segment);
  EXPECT_NE(primary.segment, moved.segment);
  EXPECT_NE(mirror.segment, moved.segment);
  EXPECT_TRUE(records(*set, mirror.segment).at(0).mirror);
  EXPECT_FALSE(records(*set, primary.segment).at(0).mirror);
}

TEST_F(SegmentSetTest, NeverAppendsToAFileOfAnEarlierProcess) {
  SegmentId first = 0;
  {
    SegmentHolds holds;
    first = append(*open(), text_content(1, 100), holds).segment;
  }
  const auto set = open();
  SegmentHolds holds;
  EXPECT_GT(append(*set, text_content(2, 100), holds).segment, first);
}

TEST_F(SegmentSetTest, AFullSegmentHasAFooterThatNamesAllRecords) {
  const auto set = open();
  SegmentHolds holds;
  std::map<SegmentId, std::vector<Digest>> expected;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Bytes content = random_content(i, 3000);
    expected[append(*set, content, holds).segment].push_back(digest_of(content));
  }
  set->close_streams();
  EXPECT_EQ(set->take_newly_sealed().size(), expected.size());
  EXPECT_TRUE(set->take_newly_sealed().empty());
  for (const auto& [id, digests] : expected) {
    const auto file = disk_.open(path_of(id), Disk::Mode::kReadOnly);
    const auto footer = read_footer(*file, identity(id));
    ASSERT_TRUE(footer);
    EXPECT_EQ(*footer, scan_records(*file, identity(id)));
    std::vector<Digest> named;
    for (const FooterEntry& entry : *footer) named.push_back(entry.digest);
    EXPECT_EQ(named, digests);
    EXPECT_TRUE(set->find(id)->sealed);
    EXPECT_EQ(set->find(id)->bytes, file->size());
  }
}

TEST_F(SegmentSetTest, ATornTailIsIgnoredAtEveryByte) {
  Bytes first = random_content(1, 300);
  Bytes second = random_content(2, 200);
  Location last;
  {
    const auto set = open();
    SegmentHolds holds;
    append(*set, first, holds);
    last = append(*set, second, holds);
  }
  const std::uint64_t end = last.offset + record_bytes(second.size());
  const std::uint64_t needed = last.offset + kRecordHeaderBytes + second.size();
  const auto file = disk_.open(path_of(last.segment), Disk::Mode::kReadWrite);
  EXPECT_EQ(file->size(), end);
  for (std::uint64_t size = end; size >= last.offset; --size) {
    file->truncate(size);
    const auto set = open();
    EXPECT_EQ(records(*set, last.segment).size(), size >= needed ? 2u : 1u) << size;
    EXPECT_EQ(read(*set, first, {last.segment, kSegmentHeaderBytes}), first);
  }
}

TEST_F(SegmentSetTest, ScanSkipsGapsAndDamage) {
  std::vector<Location> locations;
  {
    const auto set = open();
    SegmentHolds holds;
    for (std::uint64_t i = 0; i < 5; ++i) {
      locations.push_back(append(*set, random_content(i, 400), holds));
    }
  }
  const SegmentId id = locations[0].segment;
  // A record that was reserved and never written; one with a damaged payload.
  disk_.open(path_of(id), Disk::Mode::kReadWrite)
      ->write_at(locations[1].offset, Bytes(record_bytes(400)));
  test::flip_bit(path_of(id), locations[3].offset + kRecordHeaderBytes + 10);
  const auto set = open();
  std::vector<std::uint64_t> offsets;
  for (const FooterEntry& entry : records(*set, id)) offsets.push_back(entry.offset);
  EXPECT_EQ(offsets, (std::vector<std::uint64_t>{locations[0].offset, locations[2].offset,
                                                 locations[4].offset}));
}

TEST_F(SegmentSetTest, ContentThatImitatesARecordIsNotTakenForOne) {
  // The bytes of a real record of this store, stored as the content of another one.
  Location inner;
  const Bytes content = random_content(1, 400);
  {
    const auto set = open();
    SegmentHolds holds;
    inner = append(*set, content, holds);
  }
  Bytes imitation(record_bytes(content.size()));
  disk_.open(path_of(inner.segment), Disk::Mode::kReadOnly)->read_at(inner.offset, imitation);
  Location outer;
  {
    const auto set = open();
    SegmentHolds holds;
    outer = append(*set, imitation, holds);
  }
  test::flip_bit(path_of(outer.segment), outer.offset);  // so that the scan looks inside
  EXPECT_TRUE(records(*open(), outer.segment).empty());
}

TEST_F(SegmentSetTest, ADamagedFooterFallsBackToTheRecords) {
  Location location;
  {
    const auto set = open();
    SegmentHolds holds;
    location = append(*set, random_content(1, 400), holds);
    append(*set, random_content(2, 400), holds);
    set->close_streams();
  }
  const std::uint64_t size = disk_.open(path_of(location.segment), Disk::Mode::kReadOnly)->size();
  for (const std::uint64_t back : {1u, 20u, 40u, 60u, 90u}) {
    test::flip_bit(path_of(location.segment), size - back);
    EXPECT_EQ(records(*open(), location.segment).size(), 2u) << back;
    test::flip_bit(path_of(location.segment), size - back);
  }
}

TEST_F(SegmentSetTest, SealsWhatACrashLeftOpen) {
  Location location;
  {
    const auto set = open();
    SegmentHolds holds;
    location = append(*set, random_content(1, 401), holds);
  }
  // A torn record behind it.
  const auto file = disk_.open(path_of(location.segment), Disk::Mode::kReadWrite);
  file->write_at(file->size(), Bytes(77, std::byte{0x55}));
  const auto set = open();
  EXPECT_FALSE(set->find(location.segment)->sealed);
  EXPECT_TRUE(set->seal(location.segment));
  EXPECT_TRUE(set->find(location.segment)->sealed);
  EXPECT_TRUE(read_footer(*file, identity(location.segment)));
  EXPECT_EQ(records(*set, location.segment).size(), 1u);
  EXPECT_TRUE(set->seal(location.segment));  // again is no error
}

TEST_F(SegmentSetTest, SegmentsInUseAreNotRemoved) {
  const auto set = open();
  SegmentId id = 0;
  {
    SegmentHolds holds;
    id = append(*set, random_content(1, 400), holds).segment;
    EXPECT_EQ(set->remove(id), 0u);  // being written
    set->close_streams();
    EXPECT_TRUE(set->find(id)->in_use);
    EXPECT_EQ(set->remove(id), 0u);  // held by a batch
  }
  EXPECT_GT(set->remove(id), 0u);
  EXPECT_FALSE(disk_.exists(path_of(id)));
  EXPECT_FALSE(set->find(id));
}

TEST_F(SegmentSetTest, AnIdleWriterCanBeRetired) {
  const auto set = open();
  SegmentId id = 0;
  {
    SegmentHolds holds;
    id = append(*set, random_content(1, 400), holds).segment;
    set->retire_if_idle(id);
    EXPECT_FALSE(set->find(id)->sealed);
  }
  set->retire_if_idle(id);
  EXPECT_TRUE(set->find(id)->sealed);
  EXPECT_FALSE(set->find(id)->in_use);
}

TEST_F(SegmentSetTest, ReadingARemovedSegmentSaysSo) {
  const auto set = open();
  const Bytes content = random_content(1, 400);
  Location location;
  {
    SegmentHolds holds;
    location = append(*set, content, holds);
    set->close_streams();
  }
  set->remove(location.segment);
  try {
    read(*set, content, location);
    FAIL();
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), ENOENT);
  }
}

TEST_F(SegmentSetTest, AFailedWriteLeavesAUsableSegment) {
  const auto set = open();
  SegmentHolds holds;
  const Bytes before = random_content(1, 400);
  const Location first = append(*set, before, holds);
  disk_.plan().fail(DiskCall::kWrite, 1, ENOSPC);
  EXPECT_THROW(append(*set, random_content(2, 400), holds), StoreError);
  const Bytes after = random_content(3, 400);
  const Location second = append(*set, after, holds);
  EXPECT_EQ(second.offset, first.offset + record_bytes(400));  // the place is used again
  set->sync(holds);
  set->close_streams();
  EXPECT_EQ(read(*set, before, first), before);
  EXPECT_EQ(read(*set, after, second), after);
  EXPECT_EQ(records(*set, first.segment).size(), 2u);
}

TEST_F(SegmentSetTest, AFailedCreationLeavesNoFile) {
  const auto set = open();
  SegmentHolds holds;
  disk_.plan().fail(DiskCall::kWrite, 1, ENOSPC);
  EXPECT_THROW(append(*set, random_content(1, 400), holds), StoreError);
  EXPECT_TRUE(disk_.list(directory_.path()).empty());
  disk_.plan().fail(DiskCall::kOpen, 1, EMFILE);
  EXPECT_THROW(append(*set, random_content(1, 400), holds), StoreError);
  const Bytes content = random_content(1, 400);
  EXPECT_EQ(read(*set, content, append(*set, content, holds)), content);
}

TEST_F(SegmentSetTest, AFailedFooterLeavesASegmentThatIsScanned) {
  const auto set = open();
  Location location;
  {
    SegmentHolds holds;
    location = append(*set, random_content(1, 400), holds);
  }
  disk_.plan().fail(DiskCall::kWrite, 1, ENOSPC);
  set->close_streams();
  EXPECT_FALSE(set->find(location.segment)->sealed);
  EXPECT_EQ(records(*set, location.segment).size(), 1u);
}

TEST_F(SegmentSetTest, SyncCoversFilesAndTheirNamesOnce) {
  const auto set = open();
  SegmentHolds holds;
  append(*set, random_content(1, 400), holds);
  append(*set, random_content(2, 400), holds, SegmentStream::kMirror);
  set->sync(holds);
  EXPECT_EQ(disk_.plan().count(DiskCall::kSync), 2u);
  EXPECT_EQ(disk_.plan().count(DiskCall::kSyncDirectory), 1u);
  set->sync(holds);  // nothing new
  EXPECT_EQ(disk_.plan().count(DiskCall::kSync), 2u);
  append(*set, random_content(3, 400), holds);
  set->sync(holds);
  EXPECT_EQ(disk_.plan().count(DiskCall::kSync), 3u);
  EXPECT_EQ(disk_.plan().count(DiskCall::kSyncDirectory), 1u);
  EXPECT_EQ(set->flushes(), 4u);
}

TEST_F(SegmentSetTest, AFailedSyncIsFinal) {
  for (const DiskCall call : {DiskCall::kSync, DiskCall::kSyncDirectory}) {
    const auto set = open();
    SegmentHolds holds;
    const Bytes content = random_content(1, 400);
    const Location location = append(*set, content, holds);
    disk_.plan().fail(call, 1, EIO);
    EXPECT_THROW(set->sync(holds), StoreError);
    const std::uint64_t syncs = disk_.plan().count(DiskCall::kSync);
    EXPECT_THROW(set->sync(holds), StoreError);
    EXPECT_THROW(append(*set, content, holds), StoreError);
    EXPECT_EQ(disk_.plan().count(DiskCall::kSync), syncs);  // not tried again
    EXPECT_EQ(read(*set, content, location), content);      // reads go on
    disk_.plan().clear();
  }
}

TEST_F(SegmentSetTest, ThreadsAppendSideBySide) {
  const auto set = open();
  SegmentHolds holds;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 200; ++i) {
        const Bytes content = random_content(t * 1000 + i, 100 + i * 5);
        EXPECT_EQ(read(*set, content, append(*set, content, holds)), content);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  set->close_streams();
  std::size_t count = 0;
  for (const auto& info : set->list()) {
    EXPECT_TRUE(info.sealed);
    count += records(*set, info.id).size();
  }
  EXPECT_EQ(count, 800u);
}

TEST_F(SegmentSetTest, ForeignFilesAreLeftAlone) {
  disk_.open(directory_ / "notes.txt", Disk::Mode::kCreateNew);
  const auto set = open();
  EXPECT_TRUE(set->list().empty());
  EXPECT_TRUE(disk_.exists(directory_ / "notes.txt"));
}

}  // namespace
}  // namespace varve
