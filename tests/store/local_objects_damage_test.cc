// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/base/error.h"
#include "store/index.h"
#include "store/local_objects.h"
#include "store/segment_format.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::DiskCall;
using test::flip_bit;
using test::LocalStore;
using test::random_content;
using test::text_content;

StoreOptions uncached() {
  StoreOptions options = LocalStore::small_options();
  options.object_cache_bytes = 0;
  return options;
}

class DamageTest : public ::testing::Test {
 protected:
  std::string path_of(const Location& location) {
    return store_.paths().segments + "/" + segment_file_name(location.segment);
  }
  void damage(const Location& location, std::uint64_t byte = kRecordHeaderBytes) {
    flip_bit(path_of(location), location.offset + byte, 3);
  }
  /// Expects a CorruptionError that names `digest`.
  void expect_damaged(const Digest& digest) {
    try {
      store_.read(digest);
      ADD_FAILURE() << "read succeeded";
    } catch (const CorruptionError& error) {
      EXPECT_NE(std::string(error.what()).find(digest.hex()), std::string::npos) << error.what();
    }
  }

  LocalStore store_{uncached()};
};

TEST_F(DamageTest, DamageInEachPartOfARecordIsAnErrorThatNamesTheObject) {
  std::vector<std::uint64_t> parts = {0, 4, 5, 6, 7, 8, 12, 16, 20, 40, 52, 60};  // header fields
  parts.push_back(kRecordHeaderBytes);
  parts.push_back(kRecordHeaderBytes + 499);
  for (const std::uint64_t byte : parts) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    const Digest digest = store_.commit_one(random_content(byte, 500));
    damage(store_->find(digest)->primary, byte);
    expect_damaged(digest);
    EXPECT_EQ(store_->figures().damaged_objects, 1u);
    store_.commit_one(random_content(byte, 500));  // heals
    EXPECT_EQ(store_.read(digest), random_content(byte, 500));
    EXPECT_EQ(store_->figures().damaged_objects, 0u);
  }
}

TEST_F(DamageTest, DeduplicationNeverTargetsADamagedObject) {
  const Bytes content = random_content(1, 5000);
  const Digest digest = store_.commit_one(content);
  const auto before = store_->find(digest);
  damage(before->primary);
  expect_damaged(digest);
  EXPECT_EQ(store_->damaged(), std::vector<Digest>{digest});

  auto batch = store_->begin();
  batch->put(content, ObjectKind::kData);
  batch->put(content, ObjectKind::kData);
  EXPECT_EQ(*batch->read(digest, Wait::kAllowed), content);
  store_.commit(std::move(batch));
  EXPECT_NE(store_->find(digest)->primary, before->primary);
  EXPECT_EQ(store_.read(digest), content);
  EXPECT_TRUE(store_->damaged().empty());
  EXPECT_EQ(store_.references().at(digest), 3u);
  store_.reopen();
  EXPECT_EQ(store_.read(digest), content);
  EXPECT_TRUE(store_->damaged().empty());
}

TEST_F(DamageTest, HealingInABatchThatRetainedFirst) {
  const Bytes content = random_content(1, 5000);
  const Digest digest = store_.commit_one(content);
  damage(store_->find(digest)->primary);
  expect_damaged(digest);
  auto batch = store_->begin();
  batch->retain(digest);  // damaged, but its references count
  batch->put(content, ObjectKind::kData);
  store_.commit(std::move(batch));
  EXPECT_EQ(store_.read(digest), content);
  EXPECT_EQ(store_.references().at(digest), 3u);
}

TEST_F(DamageTest, DamageIsRememberedAcrossARestart) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  damage(store_->find(digest)->primary);
  expect_damaged(digest);
  store_.close_and_reopen();
  EXPECT_EQ(store_->damaged(), std::vector<Digest>{digest});
  store_.commit_one(random_content(1, 5000));
  store_.close_and_reopen();
  EXPECT_TRUE(store_->damaged().empty());
  EXPECT_EQ(store_.read(digest), random_content(1, 5000));
}

TEST_F(DamageTest, TheSecondCopyOfMetadataServes) {
  const Bytes content = text_content(1, 5000);
  const Digest digest = store_.commit_one(content, ObjectKind::kMetadata);
  damage(store_->find(digest)->primary);
  EXPECT_EQ(store_.read(digest), content);
  EXPECT_EQ(store_->damaged(), std::vector<Digest>{digest});
  damage(store_->find(digest)->mirror);
  expect_damaged(digest);
}

TEST_F(DamageTest, TheSecondCopyServesWhenTheFirstFileIsGone) {
  const Bytes content = text_content(1, 5000);
  const Digest digest = store_.commit_one(content, ObjectKind::kMetadata);
  store_->close();
  store_.crash();
  store_.open();
  store_.disk().remove(path_of(store_->find(digest)->primary));
  store_.reopen();
  EXPECT_EQ(store_.read(digest), content);
}

TEST_F(DamageTest, AMissingSegmentDamagesItsObjectsOnly) {
  const Digest lost = store_.commit_one(random_content(1, 5000));
  store_.close_and_reopen();
  const Digest kept = store_.commit_one(random_content(2, 5000));
  store_->close();
  store_.crash();
  store_.open();
  store_.disk().remove(path_of(store_->find(lost)->primary));
  store_.reopen();
  expect_damaged(lost);
  EXPECT_EQ(store_.read(kept), random_content(2, 5000));
  store_.commit_one(random_content(1, 5000));
  EXPECT_EQ(store_.read(lost), random_content(1, 5000));
}

TEST_F(DamageTest, AnUnreadableSectorCountsAsDamage) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  store_.plan().fail(DiskCall::kRead, 1, EIO, true, "segments");
  expect_damaged(digest);
  store_.plan().clear();
  EXPECT_EQ(store_->damaged(), std::vector<Digest>{digest});
}

TEST_F(DamageTest, RunningOutOfFilesIsNotDamage) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  store_.reopen();
  store_.plan().fail(DiskCall::kOpen, 1, EMFILE, false, "segments");
  try {
    store_.read(digest);
    FAIL();
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), EMFILE);
  }
  EXPECT_TRUE(store_->damaged().empty());
  EXPECT_EQ(store_.read(digest), random_content(1, 5000));
}

TEST_F(DamageTest, VerifyReadsEveryCopy) {
  const Digest digest = store_.commit_one(text_content(1, 5000), ObjectKind::kMetadata);
  EXPECT_TRUE(store_->verify(digest));
  damage(store_->find(digest)->mirror);
  EXPECT_FALSE(store_->verify(digest));
  EXPECT_EQ(store_->damaged(), std::vector<Digest>{digest});
  EXPECT_FALSE(store_->verify(digest_of(text_content(2, 2))));
}

TEST_F(DamageTest, ADamagedObjectCanBeReleasedAndReclaimed) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  store_->checkpoint();
  damage(store_->find(digest)->primary);
  expect_damaged(digest);
  store_.commit_release(digest);
  store_->reclaim();
  EXPECT_FALSE(store_->find(digest));
  EXPECT_TRUE(store_->damaged().empty());
}

// --- the index ---

class DamagedIndexTest : public DamageTest {
 protected:
  void SetUp() override {
    for (std::uint64_t i = 0; i < 30; ++i) {
      const Bytes content = text_content(i, 300 + i);
      const ObjectKind kind = i % 3 == 0 ? ObjectKind::kMetadata : ObjectKind::kData;
      expected_.emplace(store_.commit_one(content, kind), content);
    }
    references_ = store_.references();
  }
  /// Recovers, recounts, and compares with what was there.
  void expect_rebuilt() {
    EXPECT_TRUE(store_->needs_references());
    store_.recover();
    for (const auto& [digest, content] : expected_) EXPECT_EQ(store_.read(digest), content);
    EXPECT_EQ(store_->reclaim(), 0u);  // before the recount nothing may be freed
    store_->set_references(store_.csn(), [&](const auto& visit) {
      for (const auto& [digest, count] : references_) {
        for (std::uint64_t i = 0; i < count; ++i) visit(digest);
      }
    });
    EXPECT_FALSE(store_->needs_references());
    EXPECT_EQ(store_->applied_csn(), store_.csn());
    EXPECT_EQ(store_->checkpointed_csn(), store_.csn());
    EXPECT_EQ(store_.references(), references_);
    store_.close_and_reopen();
    EXPECT_FALSE(store_->needs_references());
    EXPECT_EQ(store_.references(), references_);
    for (const auto& [digest, content] : expected_) {
      EXPECT_EQ(store_.read(digest), content);
      if (store_->find(digest)->kind == ObjectKind::kMetadata) {
        EXPECT_TRUE(store_->find(digest)->mirror.present());
      }
    }
    const std::uint64_t live = store_->figures().live_bytes;
    const Digest digest = store_.commit_one(random_content(77, 7000));
    EXPECT_EQ(store_->figures().live_bytes, live + store_->find(digest)->stored_bytes);
  }

  std::map<Digest, Bytes> expected_;
  std::map<Digest, std::uint64_t> references_;
};

TEST_F(DamagedIndexTest, ADeletedIndexIsRebuilt) {
  store_->close();
  store_.crash();
  store_.disk().remove(store_.paths().index);
  store_.open();
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, AnIndexIsRebuiltFromSegmentsThatACrashLeftOpen) {
  store_.crash();
  for (const char* suffix : {"", "-wal", "-shm"})
    store_.disk().remove(store_.paths().index + suffix);
  store_.open();
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, AStaleLogIsNotReplayedIntoANewIndex) {
  store_.crash();
  store_.disk().remove(store_.paths().index);
  store_.disk()
      .open(store_.paths().index + "-wal", Disk::Mode::kCreateNew)
      ->write_at(0, random_content(1, 100'000));
  store_.open();
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, AnOverwrittenIndexIsSetAsideAndRebuilt) {
  store_->close();
  store_.crash();
  store_.disk()
      .open(store_.paths().index, Disk::Mode::kReadWrite)
      ->write_at(0, random_content(1, 4096));
  store_.open();
  EXPECT_TRUE(store_.disk().exists(store_.paths().index + ".damaged"));
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, AnEmptyIndexFileIsRebuilt) {
  store_->close();
  store_.crash();
  store_.disk().open(store_.paths().index, Disk::Mode::kReadWrite)->truncate(0);
  store_.open();
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, AnotherStoresIndexIsRebuilt) {
  store_->close();
  store_.crash();
  store_.disk().remove(store_.paths().index);
  StoreId other = store_.id();
  other[0] ^= std::byte{1};
  test::TempDirectory elsewhere;
  LocalObjects::create(store_.disk(), {elsewhere / "segments", store_.paths().index}, other);
  store_.open();
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, DamageFoundWhileRunningLeadsToARebuild) {
  store_->close();
  store_.crash();
  // All pages but the first ones: the file opens, and lookups fail.
  const auto file = store_.disk().open(store_.paths().index, Disk::Mode::kReadWrite);
  for (std::uint64_t page = 1; page * 4096 < file->size(); ++page) {
    file->write_at(page * 4096, random_content(page, 4096));
  }
  try {
    store_.open();
    if (!store_->needs_references()) {
      store_->find(expected_.begin()->first);
      ADD_FAILURE() << "nothing was noticed";
    }
  } catch (const CorruptionError&) {
    store_.crash();
    store_.open();
  }
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, ARecountThatACrashInterruptedIsBegunAgain) {
  store_->close();
  store_.crash();
  store_.disk().remove(store_.paths().index);
  store_.open();
  store_.recover();
  EXPECT_THROW(store_->set_references(store_.csn(),
                                      [&](const auto& visit) {
                                        for (const auto& [digest, count] : references_) {
                                          visit(digest);
                                          visit(digest);
                                        }
                                        throw StoreError(EIO, "the trees cannot be read");
                                      }),
               StoreError);
  EXPECT_TRUE(store_->needs_references());
  store_.crash();
  store_.open();
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, ReferencedObjectsThatNoSegmentHoldsAreLost) {
  const Bytes content = text_content(500, 500);
  const Digest lost = digest_of(content);
  store_->rebuild_index("a test");
  store_.recover();
  references_[lost] = 2;
  store_->set_references(store_.csn(), [&](const auto& visit) {
    for (const auto& [digest, count] : references_) {
      for (std::uint64_t i = 0; i < count; ++i) visit(digest);
    }
  });
  EXPECT_FALSE(store_->find(lost));
  expect_damaged(lost);
  store_.commit_release(lost);  // deleting what refers to it works
  EXPECT_EQ(store_.references().at(lost), 1u);
  store_.commit_one(content);  // and the content heals it
  EXPECT_EQ(store_.read(lost), content);
  EXPECT_EQ(store_.references().at(lost), 2u);
}

TEST_F(DamagedIndexTest, ObjectsThatAreNotNamedAreDeadAfterARecount) {
  store_->rebuild_index("a test");
  store_.recover();
  const Digest kept = expected_.begin()->first;
  store_->set_references(store_.csn(), [&](const auto& visit) { visit(kept); });
  EXPECT_EQ(store_.references(), (std::map<Digest, std::uint64_t>{{kept, 1}}));
  store_->reclaim();
  EXPECT_EQ(store_->figures().objects, 1u);
  EXPECT_EQ(store_.read(kept), expected_.at(kept));
}

TEST_F(DamagedIndexTest, ARebuildPrefersTheFreshCopyOfAHealedObject) {
  const auto& [digest, content] = *expected_.begin();
  const auto before = store_->find(digest);
  damage(before->primary);
  if (before->mirror.present()) damage(before->mirror);
  expect_damaged(digest);
  store_.commit_one(content);
  references_ = store_.references();
  store_->close();
  store_.crash();
  store_.disk().remove(store_.paths().index);
  store_.open();
  store_.recover();
  EXPECT_EQ(store_.read(digest), content);
}

TEST_F(DamagedIndexTest, ARebuildPrefersAnIntactCopyToANewerDamagedOne) {
  const Bytes content = random_content(900, 5000);
  auto first = store_->begin();
  auto second = store_->begin();
  const Digest digest = first->put(content, ObjectKind::kData).digest;
  second->put(content, ObjectKind::kData);  // lies behind the first one
  store_.commit(std::move(first));
  const Location place = store_->find(digest)->primary;
  damage({place.segment, place.offset + record_bytes(content.size())});
  store_.commit(std::move(second));
  store_->rebuild_index("a test");
  store_.recover();
  EXPECT_EQ(store_->find(digest)->primary, place);
  EXPECT_EQ(store_.read(digest), content);
}

TEST_F(DamagedIndexTest, ASegmentWithoutAHeaderIsRemovedByARebuild) {
  store_->close();
  store_.crash();
  const std::string path = store_.paths().segments + "/00000000000000ff.seg";
  store_.disk().open(path, Disk::Mode::kCreateNew)->write_at(0, Bytes(20));
  store_.disk().remove(store_.paths().index);
  store_.open();
  EXPECT_FALSE(store_.disk().exists(path));
  expect_rebuilt();
}

TEST_F(DamagedIndexTest, AnUnreadableSegmentIsSetAsideByARebuild) {
  const Digest digest = store_.commit_one(random_content(1, 5000));
  const Location place = store_->find(digest)->primary;
  store_->close();
  store_.crash();
  {
    // A damaged header alone would not do: footer and records can be trusted without it.
    const auto file = store_.disk().open(path_of(place), Disk::Mode::kReadWrite);
    file->write_at(0, Bytes(file->size()));
  }
  store_.disk().remove(store_.paths().index);
  store_.open();
  store_.recover();
  EXPECT_FALSE(store_->find(digest));
  EXPECT_TRUE(store_.disk().exists(path_of(place) + ".damaged"));
}

TEST_F(DamagedIndexTest, ANewerIndexFormatIsRefused) {
  store_->close();
  store_.crash();
  {
    sqlite::Connection connection(store_.disk(), store_.paths().index,
                                  sqlite::Connection::Mode::kReadWrite);
    connection.run("UPDATE meta SET value = 99 WHERE key = 'format'");
  }
  try {
    store_.open();
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ENOTSUP);
  }
  EXPECT_TRUE(store_.disk().exists(store_.paths().index));
}

}  // namespace
}  // namespace varve
