// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>
#include <thread>

#include "store/journal_format.h"
#include "store/superblock.h"
#include "tests/store/store_fixture.h"

namespace varve::test {
namespace {

int code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return 0;
}

TEST_F(StoreTest, StartsEmpty) {
  Store& store = open();
  EXPECT_TRUE(store.root().empty());
  EXPECT_EQ(store.csn(), 0u);
  EXPECT_FALSE(store.needs_references());
  EXPECT_EQ(store.path(), path_);
  std::size_t records = 0;
  store.replay([&](const JournalRecord&) { ++records; });
  EXPECT_EQ(records, 0u);
}

TEST_F(StoreTest, KeepsCommitsWhenClosedAndWhenKilled) {
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Store& store = open();
    model_.check(store);
    for (int i = 0; i < 3; ++i) {
      model_.append(store);
      model_.commit(store);
    }
    if (round % 2 == 0) store.close();
    kill();
  }
  EXPECT_EQ(open().csn(), 36u);
  EXPECT_FALSE(store_->needs_references());
}

// A background delete reads objects that died after its pin. The index's writer forgot them while
// the store was opened, before anybody could pin: the delete was given up, and its space was lost
// until the next recount. A power cut found it.
TEST_F(StoreTest, WhatDiedBeforeARestartStaysUntilTheOpenerHasPinned) {
  Store* store = &open();
  const Csn first = model_.commit(*store);
  std::unique_ptr<ObjectsBatch> batch = store->begin();
  const Digest dead = batch->put(noise(901, 3000), ObjectKind::kMetadata).digest;
  const Csn alive = store->commit(std::move(batch), as_bytes("born"), store->journal().end());
  const std::unique_ptr<ReadPin> pin = store->pin();
  batch = store->begin();
  batch->release(dead);
  store->commit(std::move(batch), as_bytes("dead"), store->journal().end());
  ASSERT_LT(first, alive);
  kill();
  store = &open();
  store->visit_references([](const Digest&, std::uint64_t) {});  // writes the whole backlog
  const std::unique_ptr<ReadPin> again = store->pin_at(alive);
  EXPECT_NO_THROW(store->objects().read(dead, Wait::kAllowed));
  batch = store->begin();
  store->commit(std::move(batch), as_bytes("later"), store->journal().end());
  store->reclaim();
  EXPECT_NO_THROW(store->objects().read(dead, Wait::kAllowed));
}

// A process that was killed between the name of a new journal file and the flush of the directory
// left a file that its successor wrote into, and a power cut took the name away. A power cut found
// it.
TEST_F(StoreTest, NamesOfTheJournalAreDurableBeforeAKilledStoreIsWrittenAgain) {
  model_.append(open());
  kill();
  std::vector<DiskCall> calls;  // that concern the journal, in order
  disk_.plan().set_hook([&](DiskCall call, const std::string& at) {
    if (at.ends_with("/journal") && call == DiskCall::kSyncDirectory) calls.push_back(call);
    if (at.ends_with(".log") && call == DiskCall::kWrite) calls.push_back(call);
  });
  model_.append(open());
  disk_.plan().set_hook(nullptr);
  ASSERT_GE(calls.size(), 2u);
  EXPECT_EQ(calls.front(), DiskCall::kSyncDirectory);
}

TEST_F(StoreTest, ReplaysWhatNoCommitHolds) {
  Store* store = &open();
  for (int i = 0; i < 5; ++i) model_.append(*store);
  model_.commit(*store);
  for (int i = 0; i < 7; ++i) model_.append(*store);
  kill();
  for (int round = 0; round < 3; ++round) {
    store = &open();
    EXPECT_EQ(model_.check(*store), 12u);
    if (round == 1) store->close();
    kill();
  }
}

TEST_F(StoreTest, ReplaysFromThePositionThatTheCommitNamed) {
  Store& store = open();
  store.journal().append(JournalType::kOperation, {as_bytes("folded in")});
  const Lsn from = store.journal().end();
  store.journal().append(JournalType::kOperation, {as_bytes("after the freeze")});
  store.journal().append(JournalType::kSnapshot, {as_bytes("snap"), as_bytes("shot")});
  store.commit(store.begin(), as_bytes("root"), from);
  kill();
  std::vector<std::pair<JournalType, std::string>> found;
  open().replay([&](const JournalRecord& record) {
    found.emplace_back(record.type, std::string(as_text(record.payload)));
  });
  EXPECT_EQ(found, (std::vector<std::pair<JournalType, std::string>>{
                       {JournalType::kOperation, "after the freeze"},
                       {JournalType::kSnapshot, "snapshot"}}));
}

// An earlier design opened such a store silently, without what had been acknowledged.
TEST_F(StoreTest, RefusesAKilledStoreWhoseWholeJournalIsNoise) {
  Store& store = open();
  for (int i = 0; i < 4; ++i) model_.commit(store);
  model_.append(store);
  store.journal().flush();
  kill();
  for (const std::string& file : journal_files()) {
    overwrite(file, noise(1, options_.journal_file_bytes));
  }
  EXPECT_EQ(open_code(), EIO);
  EXPECT_NE(message_.find("journal damaged"), std::string::npos) << message_;
  EXPECT_NE(message_.find("--drop-damaged-journal"), std::string::npos) << message_;

  // Asked for, the store opens with what the superblock knows, and goes on.
  options_.drop_damaged_journal = true;
  Store& repaired = open();
  options_.drop_damaged_journal = false;
  EXPECT_EQ(repaired.csn(), 0u);
  model_.settle(repaired.csn(), 0);
  model_.check(repaired);
  model_.commit(repaired);
  kill();
  model_.check(open());
}

TEST_F(StoreTest, RefusesAKilledStoreWhoseJournalIsGone) {
  Store& store = open();
  model_.commit(store);
  kill();
  std::filesystem::remove_all(path_ + "/journal");
  EXPECT_EQ(open_code(), EIO);
}

TEST_F(StoreTest, NeedsNoJournalAfterAnOrderlyClose) {
  Store& store = open();
  for (int i = 0; i < 4; ++i) model_.commit(store);
  store.close();
  kill();
  std::filesystem::remove_all(path_ + "/journal");
  model_.check(open());
  EXPECT_EQ(store_->csn(), 4u);
}

TEST_F(StoreTest, ReadsTheWholeJournalOnlyWithoutAnOrderlyClose) {
  options_.journal_file_bytes = 16 << 20;
  options_.journal_files_max = 2;
  std::atomic<std::uint64_t> reads{0};
  disk_.plan().set_hook([&](DiskCall call, const std::string& path) {
    if (call == DiskCall::kRead && path.find("/journal/") != std::string::npos) ++reads;
  });
  const auto reads_of_open = [&](bool close) {
    Store& store = open();
    model_.commit(store);
    if (close) store.close();
    kill();
    reads = 0;
    model_.check(open());
    return reads.load();
  };
  reads_of_open(true);  // the files get their size
  EXPECT_LE(reads_of_open(true), 8u);
  EXPECT_GE(reads_of_open(false), 16u);
}

TEST_F(StoreTest, SearchesBehindAnOrderlyCloseWhoseSuccessorIsDamaged) {
  model_.commit(open());
  store_->close();
  kill();
  const Bytes closed = read_all(path_ + "/superblock");
  model_.commit(open());
  kill();
  // Only the superblock of the orderly close is left, and the first record after it is damaged.
  const Bytes now = read_all(path_ + "/superblock");
  std::optional<Superblock> left;
  for (const std::size_t at : {std::size_t{0}, Superblock::kBytes}) {
    const ByteView slot = ByteView(now).subspan(at, Superblock::kBytes);
    if (std::ranges::equal(slot, ByteView(closed).subspan(at, Superblock::kBytes)) &&
        Superblock::decode(slot)->clean)
      left = Superblock::decode(slot);
    else
      overwrite(path_ + "/superblock", noise(6, Superblock::kBytes), at);
  }
  ASSERT_TRUE(left);
  const JournalLayout layout{left->journal_file_bytes};
  for (const std::string& file : journal_files())
    overwrite(file, noise(7, 64), layout.offset_of(left->journal_start_lsn));
  EXPECT_EQ(open_code(), EIO) << "an acknowledged commit is not forgotten";
}

TEST_F(StoreTest, LosesNothingWhenEitherSuperblockIsDamaged) {
  for (const bool closed : {false, true}) {
    for (const std::uint64_t slot : {0, 1}) {
      SCOPED_TRACE("slot " + std::to_string(slot) + (closed ? " closed" : " killed"));
      Store& store = open();
      const Csn before = store.csn();
      model_.settle(before, 0);
      for (int i = 0; i < 3; ++i) model_.commit(store);
      if (closed) store.close();
      kill();
      const Bytes good = read_all(path_ + "/superblock");
      overwrite(path_ + "/superblock", noise(5, 4096), slot * 4096);
      // Refused is as good as whole; anything between is not.
      if (const int code = open_code(); code == 0) {
        EXPECT_EQ(store_->csn(), before + 3);
        kill();
      } else {
        EXPECT_EQ(code, EIO);
        overwrite(path_ + "/superblock", good);
      }
    }
  }
}

TEST_F(StoreTest, TrimsTheJournalWhileCommitsGoOn) {
  Store& store = open();
  for (int i = 0; i < 400; ++i) {
    store.admit(1000);
    for (int k = 0; k < 5; ++k) {
      store.journal().append(JournalType::kOperation, {noise(1, 700)});
    }
    store.commit(store.begin(), as_bytes("root"), store.journal().end());
  }
  EXPECT_GT(store.journal().end(), 10 * options_.journal_file_bytes);
  EXPECT_LE(journal_files().size(), options_.journal_files_max);
  EXPECT_FALSE(store.figures().read_only);
  kill();
  EXPECT_EQ(open().csn(), 400u);
}

TEST_F(StoreTest, AsksForACommitOnceWhenTheJournalIsHalfFull) {
  Store& store = open();
  std::atomic<int> asked{0};
  store.on_pressure([&] { ++asked; });
  while (store.figures().journal_bytes <= store.figures().journal_capacity_bytes / 2 + 4096) {
    store.journal().append(JournalType::kOperation, {noise(1, 1000)});
  }
  store.journal().append(JournalType::kOperation, {noise(1, 1000)});
  EXPECT_EQ(asked.load(), 1);
}

TEST_F(StoreTest, LetsAdmittedOperationsWaitForTheTrim) {
  Store& store = open();
  while (store.figures().journal_bytes <= store.figures().journal_capacity_bytes / 4 * 3) {
    store.journal().append(JournalType::kOperation, {noise(1, 1000)});
  }
  std::atomic<bool> asked{false};
  store.on_pressure([&] { asked = true; });
  std::atomic<bool> admitted{false};
  std::thread waiter([&] {
    store.admit(100);
    admitted = true;
  });
  while (!asked.load()) std::this_thread::yield();
  EXPECT_FALSE(admitted.load());
  store.commit(store.begin(), as_bytes("root"), store.journal().end());
  waiter.join();
  EXPECT_LE(store.figures().journal_bytes, store.figures().journal_capacity_bytes / 4 * 3);
}

TEST_F(StoreTest, WakesAdmittedOperationsWhenTheStoreTurnsReadOnly) {
  Store& store = open();
  while (store.figures().journal_bytes <= store.figures().journal_capacity_bytes / 4 * 3) {
    store.journal().append(JournalType::kOperation, {noise(1, 1000)});
  }
  std::atomic<bool> asked{false};
  store.on_pressure([&] { asked = true; });
  std::atomic<int> code{0};
  std::thread waiter([&] { code = code_of([&] { store.admit(100); }); });
  while (!asked.load()) std::this_thread::yield();
  disk_.plan().fail(DiskCall::kSync, 1, EIO, true, "/journal/");
  EXPECT_EQ(code_of([&] { store.journal().flush(); }), EIO);
  waiter.join();
  EXPECT_EQ(code.load(), EIO);
}

TEST_F(StoreTest, RefusesDataWithoutSpaceAndKeepsAcceptingCommits) {
  options_.reserve_bytes = 1 << 20;
  Store& store = open();
  model_.commit(store);
  disk_.plan().set_free_bytes((1 << 20) + 5000);
  EXPECT_EQ(code_of([&] { store.admit(6000); }), ENOSPC);
  EXPECT_EQ(code_of([&] { store.admit(4000); }), 0);
  EXPECT_EQ(code_of([&] { store.admit(4000); }), ENOSPC);
  EXPECT_EQ(store.figures().free_bytes, 1000u);
  model_.commit(store);
  kill();
  disk_.plan().clear();
  model_.check(open());
}

TEST_F(StoreTest, DropsABatchThatFindsTheDiskFullAndStaysUsable) {
  Store& store = open();
  model_.commit(store);
  std::unique_ptr<ObjectsBatch> batch = store.begin();
  disk_.plan().fail(DiskCall::kWrite, 1, ENOSPC, true, "/segments/");
  EXPECT_EQ(code_of([&] { batch->put(noise(1000, 50000), ObjectKind::kData); }), ENOSPC);
  batch.reset();
  disk_.plan().clear();
  EXPECT_FALSE(store.figures().read_only);
  model_.commit(store);
  kill();
  model_.check(open());
}

TEST_F(StoreTest, TurnsReadOnlyAfterAFailedFlushAndGoesOnReading) {
  Store& store = open();
  model_.commit(store);
  const ExpectedCommit kept = model_.at(1);
  for (const char* part : {"/journal/"}) disk_.plan().fail(DiskCall::kSync, 1, EIO, true, part);
  std::unique_ptr<ObjectsBatch> batch = store.begin();
  batch->put(noise(900, 3000), ObjectKind::kData);
  EXPECT_EQ(
      code_of([&] { store.commit(std::move(batch), as_bytes("lost"), store.journal().end()); }),
      EIO);
  EXPECT_TRUE(store.figures().read_only);
  EXPECT_EQ(store.csn(), 1u);
  EXPECT_EQ(as_text(store.root()), kept.root);
  EXPECT_EQ(code_of([&] { store.begin(); }), EIO);
  EXPECT_EQ(code_of([&] { store.admit(1); }), EIO);
  EXPECT_EQ(code_of([&] { store.journal().append(JournalType::kOperation, {}); }), EIO);
  EXPECT_EQ(code_of([&] { store.journal().flush(); }), EIO);
  for (const auto& [digest, count] : kept.references) {
    EXPECT_NO_THROW(store.objects().read(digest, Wait::kAllowed));
  }
  store.close();
  kill();
  disk_.plan().clear();
  EXPECT_GE(open().csn(), 1u);  // whether the failed one is there is unknown; the first is
}

TEST_F(StoreTest, TurnsReadOnlyWhenASegmentCannotBeFlushed) {
  Store& store = open();
  model_.commit(store);
  for (const int code : {EIO, ENOSPC}) {
    disk_.plan().fail(DiskCall::kSync, 1, code, true, "/segments/");
    std::unique_ptr<ObjectsBatch> batch;
    if (code_of([&] { batch = store.begin(); }) != 0) break;
    batch->put(noise(900, 3000), ObjectKind::kData);
    EXPECT_EQ(
        code_of([&] { store.commit(std::move(batch), as_bytes("lost"), store.journal().end()); }),
        EIO);
  }
  EXPECT_TRUE(store.figures().read_only);
  kill();
  disk_.plan().clear();
  model_.check(open());
}

TEST_F(StoreTest, RebuildsAnIndexThatIsMissingDamagedOrOld) {
  Store* store = &open();
  for (int i = 0; i < 6; ++i) model_.commit(*store);
  store->close();
  kill();
  const std::string index = path_ + "/index.db";
  const Bytes old = read_all(index);
  store = &open();
  for (int i = 0; i < 6; ++i) model_.commit(*store);
  store->close();
  kill();
  const std::vector<std::function<void()>> harms = {
      [&] { std::filesystem::remove(index); },
      [&] { overwrite(index, noise(3, 8192)); },
      [&] {
        std::filesystem::remove(index);
        std::ofstream(index).close();
        overwrite(index, old);
      },
  };
  for (std::size_t i = 0; i < harms.size(); ++i) {
    SCOPED_TRACE("harm " + std::to_string(i));
    harms[i]();
    store = &open();
    EXPECT_TRUE(store->needs_references());
    model_.settle(12, 0);
    model_.check(*store);
    store->close();
    kill();
    EXPECT_FALSE(open().needs_references());
    store_->close();
    kill();
  }
}

TEST_F(StoreTest, SetsTheIndexAsideWhenItIsAheadOfTheJournal) {
  Store& store = open();
  for (int i = 0; i < 3; ++i) model_.commit(store);
  kill();
  const std::string copy = directory_ / "copy";
  std::filesystem::copy(path_, copy, std::filesystem::copy_options::recursive);
  Store& later = open();
  for (int i = 0; i < 3; ++i) model_.commit(later);
  later.close();
  kill();
  // Journal and superblock of the past, index and segments of today.
  std::filesystem::remove_all(path_ + "/journal");
  std::filesystem::copy(copy + "/journal", path_ + "/journal");
  std::filesystem::copy_file(copy + "/superblock", path_ + "/superblock",
                             std::filesystem::copy_options::overwrite_existing);
  Store& past = open();
  EXPECT_EQ(past.csn(), 3u);
  EXPECT_TRUE(past.needs_references());
}

TEST_F(StoreTest, IsOpenedOnce) {
  open();
  EXPECT_EQ(code_of([&] { Store::open(disk_, path_, options_); }), EBUSY);
  kill();
  EXPECT_EQ(open_code(), 0);
}

TEST_F(StoreTest, RefusesImpossibleOptions) {
  StoreOptions options = options_;
  options.journal_file_bytes = 5000;
  EXPECT_EQ(code_of([&] { Store::open(disk_, path_, options); }), EINVAL);
  options = options_;
  options.journal_files_max = 1;
  EXPECT_EQ(code_of([&] { Store::create(disk_, directory_ / "other", options); }), EINVAL);
}

TEST_F(StoreTest, TakesAnotherSizeOfJournalFilesAfterAnOrderlyClose) {
  Store* store = &open();
  for (int i = 0; i < 3; ++i) model_.commit(*store);
  options_.journal_file_bytes = 128 * 1024;
  kill();
  store = &open();  // not empty: the old size stays
  EXPECT_EQ(std::filesystem::file_size(journal_files().front()), 64u * 1024);
  model_.check(*store);
  store->close();
  kill();
  store = &open();
  for (const std::string& file : journal_files()) {
    EXPECT_EQ(std::filesystem::file_size(file), 128u * 1024);
  }
  model_.append(*store);
  model_.commit(*store);
  kill();
  model_.check(open());
  EXPECT_EQ(store_->csn(), 4u);
}

TEST_F(StoreTest, CommitsABatchLargerThanAJournalFile) {
  options_.segment_bytes = 8 << 20;
  Store& store = open();
  std::unique_ptr<ObjectsBatch> batch = store.begin();
  constexpr std::uint64_t kObjects = 900;  // at up to 100 bytes each in the commit record
  std::map<Digest, std::uint64_t> expected;
  for (std::uint64_t i = 0; i < kObjects; ++i) {
    ++expected[batch->put(noise(i, 64), ObjectKind::kData).digest];
  }
  store.commit(std::move(batch), as_bytes("many"), store.journal().end());
  kill();
  Store& again = open();
  EXPECT_EQ(again.csn(), 1u);
  EXPECT_FALSE(again.needs_references());
  std::map<Digest, std::uint64_t> found;
  again.visit_references([&](const Digest& digest, std::uint64_t n) { found[digest] = n; });
  EXPECT_EQ(found, expected);
}

TEST_F(StoreTest, RefusesACommitThatTheJournalCannotHoldAndStaysUsable) {
  options_.journal_files_max = 2;
  options_.segment_bytes = 8 << 20;
  Store& store = open();
  std::unique_ptr<ObjectsBatch> batch = store.begin();
  for (std::uint64_t i = 0; i < 3000; ++i) batch->put(noise(i, 64), ObjectKind::kData);
  EXPECT_EQ(
      code_of([&] { store.commit(std::move(batch), as_bytes("too many"), store.journal().end()); }),
      ENOSPC);
  EXPECT_FALSE(store.figures().read_only);
  model_.commit(store);
  kill();
  model_.check(open());
}

TEST_F(StoreTest, GivesItsFigures) {
  Store& store = open();
  model_.append(store);
  model_.commit(store);
  const StoreFigures figures = store.figures();
  EXPECT_EQ(figures.csn, 1u);
  EXPECT_GT(figures.objects, 0u);
  EXPECT_GT(figures.segment_bytes, 0u);
  EXPECT_GT(figures.journal_bytes, 0u);
  EXPECT_EQ(figures.journal_capacity_bytes, 4 * options_.journal_file_bytes);
  EXPECT_GT(figures.device_flushes, 0u);
  EXPECT_GT(figures.journal_appended_bytes, 0u);
  EXPECT_GT(figures.total_bytes, figures.free_bytes);
  EXPECT_FALSE(figures.read_only);
}

TEST_F(StoreTest, SurvivesACrashAtEachStepOfItsCreation) {
  for (std::uint64_t step = 1;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const std::string path = directory_ / ("created-" + std::to_string(step));
    std::uint64_t calls = 0;
    disk_.plan().set_hook([&](DiskCall, const std::string&) {
      if (++calls >= step) throw StoreError(EIO, "the machine is off");
    });
    const bool done = code_of([&] { Store::create(disk_, path, options_); }) == 0;
    disk_.plan().set_hook({});
    if (done) break;
    if (!Store::exists(disk_, path)) Store::create(disk_, path, options_);
    EXPECT_EQ(Store::open(disk_, path, options_)->csn(), 0u);
    ASSERT_LT(step, 500u);
  }
}

TEST_F(StoreTest, SaysWhatFailsWhenTheDiskDoesNotReadAtOpen) {
  Store& store = open();
  model_.commit(store);
  kill();
  for (std::uint64_t nth = 1; nth <= 4; ++nth) {
    disk_.plan().fail(DiskCall::kRead, nth, EIO);
    const int code = open_code();
    if (code != 0) {
      EXPECT_EQ(code, EIO);
      EXPECT_NE(message_.find(path_), std::string::npos) << message_;
    }
    kill();
    disk_.plan().clear();
  }
  disk_.plan().fail(DiskCall::kLock, 1, EROFS);
  EXPECT_EQ(open_code(), EROFS);
  disk_.plan().clear();
  model_.check(open());
}

}  // namespace
}  // namespace varve::test
