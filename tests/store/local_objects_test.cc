// SPDX-License-Identifier: Apache-2.0
#include "store/local_objects.h"

#include <gtest/gtest.h>

#include <set>

#include "store/base/error.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::LocalStore;
using test::random_content;
using test::text_content;

StoreOptions without_cache() {
  StoreOptions options = LocalStore::small_options();
  options.object_cache_bytes = 0;
  return options;
}

TEST(LocalObjects, ReadsWhatWasCommitted) {
  LocalStore store(without_cache());
  std::map<Digest, Bytes> expected;
  auto batch = store->begin();
  EXPECT_TRUE(batch->empty());
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Bytes content =
        i % 2 == 0 ? text_content(i, 1 + i * 1300) : random_content(i, 1 + i * 90);
    const ObjectKind kind = i % 3 == 0 ? ObjectKind::kMetadata : ObjectKind::kData;
    const auto stored = batch->put(content, kind);
    EXPECT_EQ(stored.digest, digest_of(content));
    EXPECT_EQ(stored.data_bytes, content.size());
    EXPECT_GT(stored.stored_bytes, 0u);
    expected.emplace(stored.digest, content);
    EXPECT_EQ(*batch->read(stored.digest, Wait::kAllowed), content);
  }
  store.commit(std::move(batch));
  for (const auto& [digest, content] : expected) EXPECT_EQ(store.read(digest), content);
  store.close_and_reopen();
  for (const auto& [digest, content] : expected) EXPECT_EQ(store.read(digest), content);
}

TEST(LocalObjects, TheLargestObjectFits) {
  LocalStore store(without_cache());
  const Bytes content = random_content(1, kMaxObjectBytes);
  EXPECT_EQ(store.read(store.commit_one(content)), content);
}

TEST(LocalObjects, NothingIsVisibleBeforeTheCommit) {
  LocalStore store;
  const Bytes content = text_content(1, 1000);
  auto batch = store->begin();
  batch->put(content, ObjectKind::kData);
  EXPECT_FALSE(store->find(digest_of(content)));
  EXPECT_THROW(store.read(digest_of(content)), CorruptionError);
  batch.reset();
  EXPECT_FALSE(store->find(digest_of(content)));
  EXPECT_EQ(store->figures().objects, 0u);
}

TEST(LocalObjects, EqualContentIsWrittenOnce) {
  LocalStore store;
  const Bytes content = random_content(1, 10'000);
  auto batch = store->begin();
  const auto first = batch->put(content, ObjectKind::kData);
  const auto second = batch->put(content, ObjectKind::kData);
  EXPECT_EQ(first.stored_bytes, second.stored_bytes);
  store.commit(std::move(batch));
  const std::uint64_t bytes = store->figures().segment_bytes;
  batch = store->begin();
  EXPECT_EQ(batch->put(content, ObjectKind::kData).stored_bytes, first.stored_bytes);
  EXPECT_EQ(batch->retain(first.digest).data_bytes, 10'000u);
  store.commit(std::move(batch));
  EXPECT_EQ(store->figures().segment_bytes, bytes);
  EXPECT_EQ(store.references(), (std::map<Digest, std::uint64_t>{{first.digest, 4}}));
}

TEST(LocalObjects, ReadsFromMemoryWhenWaitingIsRefused) {
  LocalStore store;
  const Digest digest = store.commit_one(text_content(1, 1000));
  try {
    store->read(digest, Wait::kRefused);
    FAIL();
  } catch (const WouldBlock& blocked) {
    EXPECT_EQ(blocked.digest, digest);
  }
  store.read(digest);
  EXPECT_EQ(*store->read(digest, Wait::kRefused), text_content(1, 1000));
  // New metadata is there at once.
  const Digest node = store.commit_one(text_content(2, 1000), ObjectKind::kMetadata);
  EXPECT_EQ(*store->read(node, Wait::kRefused), text_content(2, 1000));
  auto batch = store->begin();
  const Digest fresh = batch->put(text_content(3, 1000), ObjectKind::kData).digest;
  EXPECT_THROW(batch->read(fresh, Wait::kRefused), WouldBlock);
}

TEST(LocalObjects, MetadataIsKeptTwice) {
  LocalStore store;
  const auto node = store->find(store.commit_one(text_content(1, 900), ObjectKind::kMetadata));
  const auto data = store->find(store.commit_one(text_content(2, 900), ObjectKind::kData));
  ASSERT_TRUE(node && data);
  EXPECT_TRUE(node->mirror.present());
  EXPECT_NE(node->mirror.segment, node->primary.segment);
  EXPECT_FALSE(data->mirror.present());
}

TEST(LocalObjects, BirthsOfABatchCountBeforeItsReleases) {
  LocalStore store;
  auto batch = store->begin();
  const Digest digest = digest_of(text_content(1, 500));
  batch->release(digest);
  batch->put(text_content(1, 500), ObjectKind::kData);
  batch->put(text_content(1, 500), ObjectKind::kData);
  store.commit(std::move(batch));
  EXPECT_EQ(store.references().at(digest), 1u);
}

TEST(LocalObjects, AReleaseWithoutABirthIsRefusedBeforeTheCommit) {
  LocalStore store;
  const Digest digest = store.commit_one(text_content(1, 500));
  auto batch = store->begin();
  batch->release(digest);
  batch->release(digest);
  batch->put(text_content(2, 500), ObjectKind::kData);
  EXPECT_THROW(batch->take_delta(store.csn() + 1), CorruptionError);
  batch.reset();
  batch = store->begin();
  batch->release(digest_of(text_content(9, 9)));
  EXPECT_THROW(batch->take_delta(store.csn() + 1), CorruptionError);
  batch.reset();
  EXPECT_EQ(store.references(), (std::map<Digest, std::uint64_t>{{digest, 1}}));
}

TEST(LocalObjects, RetainingWhatIsNotThereIsRefused) {
  LocalStore store;
  auto batch = store->begin();
  EXPECT_THROW(batch->retain(digest_of(text_content(1, 5))), CorruptionError);
}

TEST(LocalObjects, ADeadObjectComesBackToLifeWithoutBeingWritten) {
  LocalStore store;
  const Bytes content = random_content(1, 20'000);
  const Digest digest = store.commit_one(content);
  store->checkpoint();  // otherwise it would live and die in memory
  store.commit_release(digest);
  EXPECT_TRUE(store.references().empty());
  const std::uint64_t bytes = store->figures().segment_bytes;
  store.commit_one(content);
  EXPECT_EQ(store->figures().segment_bytes, bytes);
  EXPECT_EQ(store.references().at(digest), 1u);
  EXPECT_EQ(store.read(digest), content);
}

TEST(LocalObjects, TwoBatchesMayPutTheSameContent) {
  LocalStore store(without_cache());
  const Bytes content = random_content(1, 5000);
  auto first = store->begin();
  auto second = store->begin();
  const Digest digest = first->put(content, ObjectKind::kMetadata).digest;
  second->put(content, ObjectKind::kMetadata);
  store.commit(std::move(second));
  const auto placement = store->find(digest);
  store.commit(std::move(first));
  EXPECT_EQ(store->find(digest), placement);  // the place that was known first stays
  EXPECT_EQ(store.references().at(digest), 2u);
  EXPECT_EQ(store.read(digest), content);
}

TEST(LocalObjects, DoesNotDeduplicateAgainstABatchThatIsNotCommitted) {
  LocalStore store(without_cache());
  const Bytes content = random_content(1, 5000);
  auto dropped = store->begin();
  dropped->put(content, ObjectKind::kData);
  auto kept = store->begin();
  kept->put(content, ObjectKind::kData);
  dropped.reset();
  store.commit(std::move(kept));
  store.reopen();
  EXPECT_EQ(store.read(digest_of(content)), content);
}

TEST(LocalObjects, RecoveryAppliesWhatTheIndexDoesNotHold) {
  LocalStore store;
  std::vector<Digest> digests;
  for (std::uint64_t i = 0; i < 10; ++i) digests.push_back(store.commit_one(text_content(i, 800)));
  store.commit_release(digests[3]);
  store->checkpoint();
  EXPECT_EQ(store->checkpointed_csn(), 11u);
  for (std::uint64_t i = 10; i < 20; ++i) digests.push_back(store.commit_one(text_content(i, 800)));
  store.commit_release(digests[15]);
  const auto expected = store.references();
  store.crash();
  store.open();
  EXPECT_GE(store->applied_csn(), 11u);
  EXPECT_LE(store->checkpointed_csn(), store->applied_csn());
  store.recover();
  EXPECT_EQ(store->applied_csn(), store.csn());
  EXPECT_EQ(store.references(), expected);
  store.reopen();  // again, with deltas that are applied already
  EXPECT_EQ(store.references(), expected);
}

TEST(LocalObjects, ACommitThatIsMissingIsNoticed) {
  LocalStore store;
  CommitDelta delta;
  delta.csn = 2;
  EXPECT_THROW(store->apply(delta), CorruptionError);
  delta.csn = 1;
  store->apply(delta);
  store->apply(delta);  // skipped
  EXPECT_EQ(store->applied_csn(), 1u);
}

TEST(LocalObjects, ADeltaThatDoesNotFitChangesNothing) {
  LocalStore store;
  const Digest digest = store.commit_one(text_content(1, 100));
  CommitDelta delta;
  delta.csn = 2;
  delta.births.push_back({digest, {}, 5, false});
  delta.releases.push_back({digest_of(text_content(7, 7)), 1});
  EXPECT_THROW(store->apply(delta), CorruptionError);
  EXPECT_EQ(store->applied_csn(), 1u);
  EXPECT_EQ(store.references().at(digest), 1u);
}

TEST(LocalObjects, FiguresFollowTheObjects) {
  LocalStore store;
  const Digest data = store.commit_one(random_content(1, 1000));
  const std::uint64_t data_bytes = store->find(data)->stored_bytes;
  EXPECT_EQ(store->figures().live_bytes, data_bytes);
  const Digest node = store.commit_one(random_content(2, 1000), ObjectKind::kMetadata);
  EXPECT_EQ(store->figures().live_bytes, data_bytes + 2 * store->find(node)->stored_bytes);
  EXPECT_EQ(store->figures().objects, 2u);
  store.commit_release(node);
  EXPECT_EQ(store->figures().live_bytes, data_bytes);
  store.close_and_reopen();
  EXPECT_EQ(store->figures().live_bytes, data_bytes);
  EXPECT_GT(store->figures().segment_bytes, data_bytes);
  store.read(data);
  EXPECT_EQ(store->figures().object_reads, 1u);
}

TEST(LocalObjects, RandomCommitsAgreeWithAModel) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    LocalStore store;
    std::map<Digest, std::uint64_t> model;
    for (int commit = 0; commit < 60; ++commit) {
      auto batch = store->begin();
      std::map<Digest, std::uint64_t> next = model;
      for (std::uint64_t i = random() % 30; i > 0; --i) {
        const std::uint64_t what = random() % 40;
        const Bytes content = text_content(what, 200 + what * 50);
        const Digest digest = digest_of(content);
        if (next.contains(digest) && random() % 2 == 0) {
          batch->release(digest);
          if (--next[digest] == 0) next.erase(digest);
        } else {
          batch->put(content, what % 4 == 0 ? ObjectKind::kMetadata : ObjectKind::kData);
          ++next[digest];
        }
      }
      if (random() % 8 == 0) continue;  // dropped
      store.commit(std::move(batch));
      model = next;
      if (random() % 6 == 0) store->reclaim();
      if (random() % 6 == 0) store.reopen();
      if (random() % 12 == 0) store.close_and_reopen();
      if (random() % 5 == 0) {
        EXPECT_EQ(store.references(), model);
      }
    }
    EXPECT_EQ(store.references(), model);
    for (const auto& [digest, count] : model) {
      EXPECT_EQ(digest_of(store.read(digest)), digest);
      EXPECT_TRUE(store->verify(digest));
    }
  }
}

TEST(LocalObjects, HoldsAHundredThousandObjects) {
  StoreOptions options = LocalStore::small_options();
  options.segment_bytes = 16 << 20;
  LocalStore store(options);
  constexpr std::uint64_t kCount = 100'000;
  const auto content = [](std::uint64_t number) {
    const ByteView bytes{reinterpret_cast<const std::byte*>(&number), sizeof number};
    return Bytes(bytes.begin(), bytes.end());
  };
  auto batch = store->begin();
  for (std::uint64_t i = 0; i < kCount; ++i) batch->put(content(i), ObjectKind::kData);
  store.commit(std::move(batch));
  batch = store->begin();
  for (std::uint64_t i = 0; i < kCount; i += 2) batch->release(digest_of(content(i)));
  store.commit(std::move(batch));
  EXPECT_EQ(store.references().size(), kCount / 2);
  store.reopen();
  EXPECT_EQ(store.references().size(), kCount / 2);
  for (std::uint64_t i = 1; i < kCount; i += 9998) {
    EXPECT_EQ(store.read(digest_of(content(i))), content(i));
  }
}

}  // namespace
}  // namespace varve
