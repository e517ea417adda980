// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "store/base/error.h"
#include "store/object_check.h"
#include "store/segment_format.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::DiskCall;
using test::flip_bit;
using test::LocalStore;
using test::random_content;
using testing::IsEmpty;

StoreOptions check_options() {
  StoreOptions options = LocalStore::small_options();
  options.object_cache_bytes = 0;
  return options;
}

class LocalCheckTest : public ::testing::Test {
 protected:
  std::string path_of(const Location& location) {
    return store_.paths().segments + "/" + segment_file_name(location.segment);
  }
  void damage(const Location& location) {
    flip_bit(path_of(location), location.offset + kRecordHeaderBytes + 1, 3);
  }

  LocalStore store_{check_options()};
};

TEST_F(LocalCheckTest, ListsLiveObjectsInOrderOfDigests) {
  std::set<Digest> digests;
  for (std::uint64_t i = 0; i < 20; ++i) digests.insert(store_.commit_one(random_content(i, 100)));
  const Digest dead = *digests.begin();
  store_.commit_release(dead);
  digests.erase(dead);
  std::vector<Digest> found;
  std::optional<Digest> after;
  for (;;) {
    const auto batch = store_->live_after(after, 7);
    if (batch.empty()) break;
    EXPECT_LE(batch.size(), 7u);
    for (const LiveObject& object : batch) {
      found.push_back(object.digest);
      EXPECT_EQ(object.references, 1u);
      EXPECT_EQ(object.stored_bytes(), object.placement.stored_bytes);
    }
    after = batch.back().digest;
  }
  EXPECT_EQ(found, std::vector<Digest>(digests.begin(), digests.end()));
  EXPECT_FALSE(store_->live(dead));
  EXPECT_TRUE(store_->live(found[0]));
}

TEST_F(LocalCheckTest, HealthSaysWhatServes) {
  const Digest data = store_.commit_one(random_content(1, 5000));
  const Digest node = store_.commit_one(random_content(2, 5000), ObjectKind::kMetadata);
  EXPECT_EQ(store_->check(data), ObjectHealth::kSound);
  EXPECT_EQ(store_->check(node), ObjectHealth::kSound);
  damage(store_->find(data)->primary);
  damage(store_->find(node)->mirror);
  EXPECT_EQ(store_->check(data), ObjectHealth::kBad);
  EXPECT_EQ(store_->check(node), ObjectHealth::kWeak);
  EXPECT_EQ(store_->damaged().size(), 2u);
  damage(store_->find(node)->primary);
  EXPECT_EQ(store_->check(node), ObjectHealth::kBad);
  store_.commit_release(data);
  EXPECT_EQ(store_->check(data), ObjectHealth::kGone);
}

TEST_F(LocalCheckTest, DamageThatNobodyHasReadIsFoundByTheWriteThatWouldCountOnIt) {
  const Bytes content = random_content(1, 5000);
  const Digest digest = store_.commit_one(content);
  const Location before = store_->find(digest)->primary;
  damage(before);
  store_.commit_one(content);
  EXPECT_NE(store_->find(digest)->primary, before);
  EXPECT_EQ(store_.read(digest), content);
  EXPECT_EQ(store_.references().at(digest), 2u);
  EXPECT_THAT(store_->damaged(), IsEmpty());
  store_.reopen();
  EXPECT_EQ(store_.read(digest), content);
}

TEST_F(LocalCheckTest, ADeadObjectThatIsDamagedIsNotBroughtBack) {
  const Bytes content = random_content(1, 5000);
  const Digest digest = store_.commit_one(content);
  const auto pin = store_->pins().pin();
  store_.commit_release(digest);
  damage(store_->find(digest)->primary);
  store_.commit_one(content);
  EXPECT_EQ(store_.read(digest), content);
}

TEST_F(LocalCheckTest, SoundObjectsAreStillDeduplicated) {
  const Bytes content = random_content(1, 5000);
  const Digest digest = store_.commit_one(content);
  const Location place = store_->find(digest)->primary;
  const std::uint64_t writes = store_.plan().count(DiskCall::kWrite);
  auto batch = store_->begin();
  for (int i = 0; i < 5; ++i) batch->put(content, ObjectKind::kData);
  EXPECT_EQ(store_.plan().count(DiskCall::kWrite), writes);
  store_.commit(std::move(batch));
  EXPECT_EQ(store_->find(digest)->primary, place);
}

TEST_F(LocalCheckTest, ANodeOfTheContentOfAFileGetsItsSecondCopy) {
  const Bytes content = random_content(1, 5000);
  const Digest digest = store_.commit_one(content, ObjectKind::kData);
  store_.commit_one(content, ObjectKind::kMetadata);
  const auto placement = store_->find(digest);
  ASSERT_TRUE(placement);
  EXPECT_TRUE(placement->mirror.present());
  EXPECT_EQ(placement->kind, ObjectKind::kMetadata);
  damage(placement->primary);
  EXPECT_EQ(store_.read(digest), content);
}

TEST_F(LocalCheckTest, RescuesFromTheSecondCopy) {
  const Bytes content = random_content(1, 5000);
  const Digest digest = store_.commit_one(content, ObjectKind::kMetadata);
  damage(store_->find(digest)->primary);
  const auto found = store_->rescue({digest});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].digest, digest);
  EXPECT_EQ(found[0].kind, ObjectKind::kMetadata);
  EXPECT_EQ(found[0].content, content);
}

TEST_F(LocalCheckTest, RescuesFromAnotherRecordOfTheSameContent) {
  const Bytes content = random_content(1, 5000);
  // Two batches write it side by side; one place wins, the other record stays where it is.
  auto first = store_->begin();
  auto second = store_->begin();
  const Digest digest = first->put(content, ObjectKind::kData).digest;
  second->put(content, ObjectKind::kData);
  store_.commit(std::move(first));
  store_.commit(std::move(second));
  const Digest alone = store_.commit_one(random_content(2, 5000));
  damage(store_->find(digest)->primary);
  damage(store_->find(alone)->primary);
  EXPECT_EQ(store_->check(digest), ObjectHealth::kBad);
  const auto found = store_->rescue({digest, alone});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].digest, digest);
  EXPECT_EQ(found[0].content, content);
}

TEST_F(LocalCheckTest, FramesOfSegmentsAreMended) {
  const Digest data = store_.commit_one(random_content(1, 5000));
  const Digest node = store_.commit_one(random_content(2, 5000), ObjectKind::kMetadata);
  store_.close_and_reopen();
  EXPECT_THAT(store_->check_segments(), IsEmpty());
  const std::string header = path_of(store_->find(node)->mirror);
  const std::string footer = path_of(store_->find(data)->primary);
  ASSERT_NE(header, footer);
  flip_bit(header, 8);
  flip_bit(footer, store_.disk().open(footer, Disk::Mode::kReadOnly)->size() - 1);
  const auto findings = store_->check_segments();
  ASSERT_EQ(findings.size(), 2u);
  for (const FileFinding& finding : findings) {
    EXPECT_EQ(finding.part, FileFinding::Part::kSegment);
    EXPECT_TRUE(finding.mended) << finding.what;
  }
  EXPECT_THAT(store_->check_segments(), IsEmpty());
  EXPECT_EQ(store_->check(data), ObjectHealth::kSound);
  EXPECT_EQ(store_->check(node), ObjectHealth::kSound);
}

TEST_F(LocalCheckTest, ARebuildNeedsNoHeaderOfASegment) {
  const Digest data = store_.commit_one(random_content(1, 5000));
  store_.close_and_reopen();
  for (const std::string& path : store_.segment_paths()) flip_bit(path, 40);
  store_->rebuild_index("a test");
  store_.recover();
  store_->set_references(store_.csn(), [&](const auto& visit) { visit(data); });
  EXPECT_EQ(store_.read(data), random_content(1, 5000));
}

TEST_F(LocalCheckTest, TheIndexAgreesWithTheSegments) {
  std::vector<Digest> digests;
  for (std::uint64_t i = 0; i < 30; ++i) {
    const ObjectKind kind = i % 3 == 0 ? ObjectKind::kMetadata : ObjectKind::kData;
    digests.push_back(store_.commit_one(random_content(i, 3000), kind));
  }
  for (std::size_t i = 0; i < 10; ++i) store_.commit_release(digests[i]);
  std::vector<std::string> problems;
  const auto note = [&](const std::string& problem) { problems.push_back(problem); };
  const auto pin = store_->pins().pin_at(0);
  EXPECT_GE(store_->compare_index(note), 20u);
  EXPECT_THAT(problems, IsEmpty());
  store_.close_and_reopen();
  store_->reclaim();
  EXPECT_GE(store_->compare_index(note), 20u);
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(store_->check_index(), IsEmpty());
}

TEST_F(LocalCheckTest, ADamagedIndexIsFoundAndMadeAnew) {
  std::vector<Digest> digests;
  for (std::uint64_t i = 0; i < 300; ++i) {
    digests.push_back(store_.commit_one(random_content(i, 200)));
  }
  store_->close();
  store_.crash();
  const std::uint64_t size =
      store_.disk().open(store_.paths().index, Disk::Mode::kReadOnly)->size();
  for (std::uint64_t at = 4096; at < size; at += 4096) flip_bit(store_.paths().index, at, 2);
  store_.open();
  if (!store_->needs_references()) {
    EXPECT_FALSE(store_->check_index().empty());
    store_.crash();
    store_.open();
  }
  EXPECT_TRUE(store_->needs_references());
  store_.recover();
  store_->set_references(store_.csn(), [&](const auto& visit) {
    for (const Digest& digest : digests) visit(digest);
  });
  EXPECT_EQ(store_.references().size(), 300u);
  EXPECT_THAT(store_->check_index(), IsEmpty());
}

/// Sets a value of the closed store's index.
void alter_index(const std::string& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(handle);
}

TEST_F(LocalCheckTest, AWrongTotalRemovesNoSegment) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  store_->close();
  store_.crash();
  alter_index(store_.paths().index, "UPDATE segments SET live_bytes = 0");
  store_.open();
  store_.recover();
  store_->reclaim();
  EXPECT_EQ(store_.read(digest), random_content(1, 5000));
  store_.crash();
  store_.open();
  EXPECT_TRUE(store_->needs_references());  // made anew
}

TEST_F(LocalCheckTest, AReferencedObjectThatTheIndexLacksComesBackWithTheNextStart) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  store_->close();
  store_.crash();
  alter_index(store_.paths().index, "DELETE FROM objects");
  store_.open();
  store_.recover();
  EXPECT_THROW(store_.read(digest), CorruptionError);
  store_.crash();
  store_.open();
  EXPECT_TRUE(store_->needs_references());
  store_.recover();
  store_->set_references(store_.csn(), [&](const auto& visit) { visit(digest); });
  EXPECT_EQ(store_.read(digest), random_content(1, 5000));
}

}  // namespace
}  // namespace varve
