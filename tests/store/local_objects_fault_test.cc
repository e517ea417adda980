// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/base/error.h"
#include "store/local_objects.h"
#include "tests/support/local_store.h"

namespace varve {
namespace {

using test::DiskCall;
using test::LocalStore;
using test::random_content;
using test::text_content;

StoreOptions segments_without_cache() {
  StoreOptions options = LocalStore::small_options();
  options.object_cache_bytes = 0;
  options.segment_bytes = 64 << 10;
  return options;
}

/// One batch of births and releases on top of `store`; returns what must hold once it is committed.
struct Work {
  std::map<Digest, std::uint64_t> references;
  std::map<Digest, Bytes> contents;
};

void put_some(LocalBatch& batch, std::uint64_t seed, Work& work) {
  for (std::uint64_t i = 0; i < 12; ++i) {
    const Bytes content = random_content(seed * 100 + i, 3000 + i * 700);
    const ObjectKind kind = i % 4 == 0 ? ObjectKind::kMetadata : ObjectKind::kData;
    const Digest digest = batch.put(content, kind).digest;
    ++work.references[digest];
    work.contents[digest] = content;
  }
}

void expect_holds(LocalStore& store, const Work& work) {
  EXPECT_TRUE(store.references() == work.references);  // the two maps would fill pages
  for (const auto& [digest, count] : work.references) {
    EXPECT_EQ(store.read(digest), work.contents.at(digest));
  }
}

/// Fails each call of one kind in turn while a batch is made and committed, until no fault is hit.
void fail_each_call(DiskCall call, int code, bool then_reopen) {
  for (std::uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE("call " + std::to_string(static_cast<int>(call)) + " number " +
                 std::to_string(nth));
    LocalStore store(segments_without_cache());
    Work before;
    auto batch = store->begin();
    put_some(*batch, 1, before);
    store.commit(std::move(batch));

    Work after = before;
    const std::uint64_t failures = store.plan().failures();
    store.plan().fail(call, nth, code, false, "segments");
    bool committed = false;
    try {
      batch = store->begin();
      put_some(*batch, 2, after);
      store.commit(std::move(batch));
      committed = true;
    } catch (const StoreError& error) {
      EXPECT_EQ(error.code(), code);
      batch.reset();
    }
    const bool hit = store.plan().failures() != failures;
    store.plan().clear();
    if (then_reopen) store.reopen();
    expect_holds(store, committed ? after : before);
    if (code == ENOSPC || then_reopen) {
      // The store goes on: the same batch succeeds.
      if (!committed) {
        Work again = before;
        batch = store->begin();
        put_some(*batch, 2, again);
        store.commit(std::move(batch));
        after = again;
        expect_holds(store, after);
      }
      store.reopen();
      expect_holds(store, after);
    }
    if (!hit) return;
    ASSERT_LT(nth, 500u);
  }
}

TEST(LocalObjectsFaults, EachWriteMayFindTheDiskFull) {
  fail_each_call(DiskCall::kWrite, ENOSPC, false);
}

TEST(LocalObjectsFaults, EachWriteMayFail) { fail_each_call(DiskCall::kWrite, EIO, true); }

TEST(LocalObjectsFaults, EachFileMayFailToBeCreated) {
  fail_each_call(DiskCall::kOpen, ENOSPC, false);
}

TEST(LocalObjectsFaults, EachSyncMayFail) { fail_each_call(DiskCall::kSync, EIO, true); }

TEST(LocalObjectsFaults, EachDirectorySyncMayFail) {
  fail_each_call(DiskCall::kSyncDirectory, EIO, true);
}

TEST(LocalObjectsFaults, ATruncatedFooterIsNoFailure) {
  fail_each_call(DiskCall::kTruncate, EIO, true);
}

TEST(LocalObjectsFaults, AfterAFailedSyncReadsGoOnAndCommitsAreRefused) {
  LocalStore store(segments_without_cache());
  const Digest digest = store.commit_one(random_content(1, 5000));
  store.plan().fail(DiskCall::kSync, 1, EIO, false, "segments");
  EXPECT_THROW(store.commit_one(random_content(2, 5000)), StoreError);
  EXPECT_EQ(store.read(digest), random_content(1, 5000));
  auto batch = store->begin();
  try {
    batch->put(random_content(3, 5000), ObjectKind::kData);
    FAIL();
  } catch (const StoreError& error) {
    EXPECT_EQ(error.code(), EIO);
  }
}

TEST(LocalObjectsFaults, CreationReportsAFullDisk) {
  test::TempDirectory directory;
  test::FaultDisk disk;
  disk.plan().fail(DiskCall::kMakeDirectory, 1, ENOSPC);
  EXPECT_THROW(LocalObjects::create(disk, {directory / "s", directory / "i"}, StoreId{}),
               StoreError);
}

TEST(LocalObjectsFaults, OpeningFailsWithoutHarm) {
  LocalStore store(segments_without_cache());
  const Digest digest = store.commit_one(random_content(1, 5000));
  store->close();
  store.crash();
  store.plan().fail(DiskCall::kList, 1, EACCES);
  EXPECT_THROW(store.open(), StoreError);
  store.plan().clear();
  store.reopen();
  EXPECT_EQ(store.read(digest), random_content(1, 5000));
}

TEST(LocalObjectsFaults, AFailedRebuildIsTriedAgainAtTheNextStart) {
  for (const DiskCall call :
       {DiskCall::kRename, DiskCall::kRemove, DiskCall::kSyncDirectory, DiskCall::kRead}) {
    for (std::uint64_t nth = 1; nth <= 3; ++nth) {
      SCOPED_TRACE(std::to_string(static_cast<int>(call)) + " " + std::to_string(nth));
      LocalStore store(segments_without_cache());
      Work work;
      auto batch = store->begin();
      put_some(*batch, 1, work);
      store.commit(std::move(batch));
      store->close();
      store.crash();
      store.disk()
          .open(store.paths().index, Disk::Mode::kReadWrite)
          ->write_at(0, random_content(1, 100));
      store.plan().fail(call, nth, call == DiskCall::kRead ? ENOMEM : ENOSPC);
      try {
        store.open();
      } catch (const StoreError&) {
        store.plan().clear();
        store.open();
      }
      store.plan().clear();
      EXPECT_TRUE(store->needs_references());
      store.recover();
      store->set_references(store.csn(), [&](const auto& visit) {
        for (const auto& [digest, count] : work.references) visit(digest);
      });
      expect_holds(store, work);
    }
  }
}

}  // namespace
}  // namespace varve
