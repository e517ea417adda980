// SPDX-License-Identifier: Apache-2.0
#include "fs/scrubber.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <thread>

#include "fs/fsck.h"
#include "tests/support/damaged_store.h"

namespace varve::test {
namespace {

constexpr std::size_t kChunk = 128 * 1024;

Bytes part(const Bytes& whole, std::size_t first, std::size_t size) {
  return Bytes(whole.begin() + static_cast<std::ptrdiff_t>(first),
               whole.begin() + static_cast<std::ptrdiff_t>(first + size));
}

class ScrubTest : public testing::Test {
 protected:
  ScrubTest() {
    store_.create_volume("a");
    write_file(*store_->attach("a"), "f", content_);
    store_->create_snapshot("a", "s", {});
    write_file(*store_->attach("a"), "g", pattern(1000, 9));
    store_.reopen();
  }

  const Bytes content_ = pattern(4 * kChunk, 1);
  DamagedStore store_;
};

TEST_F(ScrubTest, FindsNothingInASoundStore) {
  const ScrubProgress progress = store_.scrub();
  EXPECT_TRUE(progress.state.finished);
  EXPECT_EQ(progress.state.done_ten_thousandths(), 10'000u);
  EXPECT_EQ(progress.state.objects, store_.objects().size());
  EXPECT_GT(progress.state.bytes, 4 * kChunk);
  EXPECT_EQ(progress.state.repaired + progress.state.mended + progress.state.unrepaired, 0u);
  EXPECT_TRUE(store_->damaged_files().empty());
}

TEST_F(ScrubTest, ADamagedChunkIsAnErrorForItsBytesAndNamesTheFile) {
  store_.damage(store_.chunk(part(content_, kChunk, kChunk)).placement.primary);
  const ScrubProgress progress = store_.scrub();
  EXPECT_EQ(progress.state.unrepaired, 1u);
  EXPECT_EQ(progress.state.repaired, 0u);
  const std::vector<DamagedFile> files = store_->damaged_files();
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].volume, "a");
  EXPECT_EQ(files[0].path, "/f");
  EXPECT_TRUE(files[0].in_present);
  EXPECT_EQ(files[0].snapshots, std::vector<std::string>{"s"});
  EXPECT_EQ(files[0].what, DamagedFile::What::kContent);
  EXPECT_EQ(files[0].ranges, (std::vector<DamagedFile::Range>{{kChunk, kChunk}}));

  const auto volume = store_->attach("a");
  EXPECT_EQ(read_errno(*volume, "f", kChunk, 1), EIO);
  EXPECT_EQ(read_errno(*volume, "f", 2 * kChunk - 1, 1), EIO);
  EXPECT_EQ(read_errno(*volume, "f", 0, kChunk), 0);
  EXPECT_EQ(read_errno(*volume, "f", 2 * kChunk, 2 * kChunk), 0);
  EXPECT_EQ(read_file(*volume, "g"), pattern(1000, 9));
}

TEST_F(ScrubTest, WritingTheContentAgainHealsEveryFileThatHasIt) {
  store_.damage(store_.chunk(part(content_, kChunk, kChunk)).placement.primary);
  // Without a scrub or a read: the damage is found by the write that would count on the chunk.
  write_file(*store_->attach("a"), "copy", content_);
  EXPECT_EQ(read_file(*store_->attach("a"), "copy"), content_);
  EXPECT_EQ(read_file(*store_->attach("a"), "f"), content_);
  EXPECT_EQ(read_file(*store_->attach_snapshot("a@s"), "f"), content_);
  EXPECT_EQ(store_.scrub().state.unrepaired, 0u);
  EXPECT_TRUE(store_->damaged_files().empty());
}

TEST_F(ScrubTest, ANodeIsRepairedFromItsSecondCopy) {
  const Digest leaf = store_.leaves("a").front();
  for (const bool first : {true, false}) {
    const Placement before = store_.object(leaf)->placement;
    store_.damage(first ? before.primary : before.mirror);
    const ScrubProgress progress = store_.scrub();
    EXPECT_EQ(progress.state.repaired, 1u);
    EXPECT_EQ(progress.state.unrepaired, 0u);
    const Placement after = store_.object(leaf)->placement;
    EXPECT_NE(after.primary, before.primary);
    EXPECT_NE(after.mirror, before.mirror);
    EXPECT_EQ(store_->store().check().check(leaf), ObjectHealth::kSound);
    EXPECT_TRUE(store_->store().check().damaged().empty());
  }
  store_.reopen();
  EXPECT_EQ(read_file(*store_->attach("a"), "f"), content_);
  EXPECT_EQ(store_.scrub().state.repaired, 0u);
}

TEST_F(ScrubTest, ANodeThatAReaderFoundDamagedIsRepairedByTheCleaner) {
  const Digest leaf = store_.leaves("a").front();
  store_.damage(store_.object(leaf)->placement.primary);
  store_.reopen();
  EXPECT_EQ(read_file(*store_->attach("a"), "f"), content_);
  EXPECT_FALSE(store_->store().check().damaged().empty());
  store_.settle();
  EXPECT_TRUE(store_->store().check().damaged().empty());
  EXPECT_EQ(store_->store().check().check(leaf), ObjectHealth::kSound);
}

TEST_F(ScrubTest, ALostNodeNamesTheFilesBelowIt) {
  {
    const auto volume = store_->attach("a");
    for (int i = 0; i < 500; ++i) {
      write_file(*volume, "file" + std::to_string(i), pattern(300, static_cast<unsigned>(i)));
    }
  }
  store_.reopen();
  const std::vector<Digest> leaves = store_.leaves("a");
  ASSERT_GT(leaves.size(), 4u);
  const Digest lost = leaves[leaves.size() - 2];
  const Placement place = store_.object(lost)->placement;
  store_.damage(place.primary);
  store_.damage(place.mirror);
  store_.reopen();
  EXPECT_EQ(store_.scrub().state.unrepaired, 1u);
  std::set<std::string> named;
  for (const DamagedFile& file : store_->damaged_files()) {
    EXPECT_EQ(file.what, DamagedFile::What::kMetadata);
    EXPECT_EQ(file.volume, "a");
    EXPECT_TRUE(file.snapshots.empty());
    named.insert(file.path);
  }
  EXPECT_FALSE(named.empty());
  const auto volume = store_->attach("a");
  for (int i = 0; i < 500; ++i) {
    const std::string name = "file" + std::to_string(i);
    const int code = read_errno(*volume, name, 0, 300);
    EXPECT_EQ(code, named.contains("/" + name) ? EIO : 0) << name;
  }
  EXPECT_EQ(read_file(*volume, "f"), content_);
}

TEST_F(ScrubTest, GoesOnWhereItWasInterrupted) {
  {
    const auto volume = store_->attach("a");
    for (unsigned i = 0; i < 300; ++i) {
      write_file(*volume, "n" + std::to_string(i), pattern(5000, i + 100));
    }
  }
  store_.reopen();
  ASSERT_TRUE(store_->scrubber().step());
  ASSERT_TRUE(store_->scrubber().step());
  const ScrubState before = store_->scrub_progress().state;
  EXPECT_EQ(before.objects, 2 * store_.options().scrub_batch_objects);
  EXPECT_GT(before.done_ten_thousandths(), 0u);
  store_.kill();
  store_.open();
  EXPECT_EQ(store_->scrub_progress().state, before);
  const std::uint64_t live = store_.objects().size();
  const ScrubProgress progress = store_.scrub();
  EXPECT_TRUE(progress.state.finished);
  EXPECT_EQ(progress.state.started_ns, before.started_ns);
  EXPECT_EQ(progress.state.objects, live);
  // The next pass is a new one.
  EXPECT_TRUE(store_->scrubber().step());
  EXPECT_EQ(store_->scrub_progress().state.objects, store_.options().scrub_batch_objects);
}

TEST_F(ScrubTest, RunsInAThreadThatCanBeStoppedAndIsPaced) {
  store_->start_scrub(1);  // a byte a second: never done
  EXPECT_TRUE(store_->scrub_progress().running);
  EXPECT_EQ(store_->scrub_progress().rate_bytes, 1u);
  store_->stop_scrub();
  EXPECT_FALSE(store_->scrub_progress().running);
  EXPECT_FALSE(store_->scrub_progress().state.finished);
  store_->start_scrub(1);
  store_->start_scrub(0);  // a running pass takes the new rate
  while (store_->scrub_progress().running) std::this_thread::yield();
  EXPECT_TRUE(store_->scrub_progress().state.finished);
  EXPECT_TRUE(store_->scrub_progress().failure.empty());
}

TEST_F(ScrubTest, SuperblockAndFramesOfSegmentsAreWrittenAnew) {
  flip_bit(store_.path() + "/superblock", 60);
  std::vector<std::string> segments;
  for (const std::string& name : Disk::host().list(store_.path() + "/segments")) {
    segments.push_back(store_.path() + "/segments/" + name);
  }
  ASSERT_GE(segments.size(), 2u);
  flip_bit(segments[0], 20);  // header
  const std::uint64_t size = Disk::host().open(segments[1], Disk::Mode::kReadOnly)->size();
  flip_bit(segments[1], size - 50);  // footer
  const ScrubProgress progress = store_.scrub();
  EXPECT_EQ(progress.state.mended, 3u);
  EXPECT_EQ(progress.state.unrepaired, 0u);
  EXPECT_EQ(progress.findings.size(), 3u);
  EXPECT_EQ(store_.scrub().state.mended, 0u);
  store_.close();
  Disk::host().remove(store_.path() + "/index.db");
  store_.open();
  EXPECT_EQ(read_file(*store_->attach("a"), "f"), content_);
  EXPECT_EQ(store_->fsck().problems, std::vector<std::string>());
}

TEST_F(ScrubTest, ALostIndexLosesNothingThoughASegmentsHeaderIsDamaged) {
  store_.close();
  for (const std::string& name : Disk::host().list(store_.path() + "/segments")) {
    flip_bit(store_.path() + "/segments/" + name, 9);
  }
  Disk::host().remove(store_.path() + "/index.db");
  store_.open();
  EXPECT_EQ(read_file(*store_->attach("a"), "f"), content_);
  EXPECT_EQ(read_file(*store_->attach_snapshot("a@s"), "f"), content_);
}

TEST_F(ScrubTest, DamageInTheJournalIsLeftBehindByACommit) {
  const Bytes fresh = pattern(3000, 77);
  {
    const auto volume = store_->attach("a");
    write_file(*volume, "h", fresh);
    store_->sync();
    // Its bytes in the journal's file.
    const std::string path = store_.path() + "/journal/0000000000000000.log";
    const Bytes log = Disk::host().read_file(path, 1 << 23);
    const auto found = std::search(log.begin(), log.end(), fresh.begin(), fresh.begin() + 64);
    ASSERT_NE(found, log.end());
    flip_bit(path, static_cast<std::uint64_t>(found - log.begin()));
    const ScrubProgress progress = store_.scrub();
    ASSERT_EQ(progress.findings.size(), 1u);
    EXPECT_EQ(progress.findings[0].part, FileFinding::Part::kJournal);
    EXPECT_TRUE(progress.findings[0].mended);
    EXPECT_EQ(progress.state.unrepaired, 0u);
  }
  store_.kill();
  store_.open();
  EXPECT_EQ(read_file(*store_->attach("a"), "h"), fresh);
}

TEST_F(ScrubTest, ADamagedNoteOfThePlaceBeginsAnew) {
  ASSERT_TRUE(store_->scrubber().step());
  store_.close();
  flip_bit(store_.path() + "/scrub", 90);
  store_.open();
  EXPECT_FALSE(store_->scrub_progress().ever_run);
  EXPECT_TRUE(store_.scrub().state.finished);
}

TEST(ScrubState, SurvivesItsText) {
  ScrubState state;
  state.started_ns = 5;
  state.cursor = digest_of(as_bytes("x"));
  state.objects = 7;
  state.bytes = 1ull << 40;
  state.repaired = 1;
  state.mended = 2;
  state.unrepaired = 3;
  EXPECT_EQ(ScrubState::decode(state.encode()), state);
  state.finished = true;
  state.finished_ns = 9;
  state.cursor.reset();
  EXPECT_EQ(ScrubState::decode(state.encode()), state);
  std::string text = state.encode();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = static_cast<char>(other[i] ^ 1);
    EXPECT_EQ(ScrubState::decode(other), std::nullopt) << i;
    EXPECT_EQ(ScrubState::decode(text.substr(0, i)), std::nullopt) << i;
  }
}

}  // namespace
}  // namespace varve::test
