// SPDX-License-Identifier: Apache-2.0
#include "tests/store/journal_fixture.h"

namespace varve::test {
namespace {

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
  EXPECT_THROW(
      {
        for (;;) append(std::string(3000, 'x'));
      },
      StoreError);
  EXPECT_THROW(
      {
        for (;;) append(std::string(3000, 'x'), JournalType::kCommit);
      },
      StoreError);
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
    writer_.reset();  // its thread makes files
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

// A further file took the room that the journal's own operations had been promised in segments, so
// that the commit of a full store met ENOSPC and the reserve for deletions was gone.
TEST_F(JournalTest, AFurtherFileLeavesRoomForWhatTheJournalHolds) {
  options_.reserve_bytes = kFileBytes;
  open();
  disk_.plan().set_free_bytes(3 * kFileBytes);
  EXPECT_THROW(
      {
        for (int i = 0; i < 1000; ++i) append(std::string(4000, 'x'));
      },
      StoreError);
  EXPECT_TRUE(disk_.exists(file(1)));
  EXPECT_FALSE(disk_.exists(file(2)));
  // With more room it grows again; an attempt that began before may still fail.
  disk_.plan().set_free_bytes(8 * kFileBytes);
  for (int round = 0; round < 20 && !disk_.exists(file(2)); ++round) {
    trim(writer_->end());
    try {
      for (int i = 0; i < 40; ++i) append(std::string(4000, 'x'));
    } catch (const StoreError& error) {
      EXPECT_EQ(error.code(), ENOSPC);
    }
  }
  EXPECT_TRUE(disk_.exists(file(2)));
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
}  // namespace varve::test
