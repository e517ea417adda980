// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_readers.h"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/shared_volume.h"

namespace varve::test {
namespace {

/// Readers of a pipe: each byte is a request, answered by `handler`; the end of the pipe is the
/// end.
class PipeReaders {
 public:
  using Handler = std::function<void(char)>;

  PipeReaders(unsigned max_threads, Handler handler)
      : handler_(std::move(handler)), readers(max_threads) {
    if (::pipe(pipe_.data()) != 0) throw std::runtime_error("no pipe");
    server_ = std::thread([this] {
      readers.run([this] { return std::make_unique<PipeTurn>(*this); });
      returned.store(true);
    });
  }
  ~PipeReaders() {
    if (server_.joinable()) finish();
    ::close(pipe_[0]);
  }

  void ask(char request) { ASSERT_EQ(::write(pipe_[1], &request, 1), 1); }
  /// No more requests; returns when run() has.
  void finish() {
    ::close(pipe_[1]);
    server_.join();
  }
  /// The same by stop(), with the pipe open.
  void stop() {
    readers.stop();
    server_.join();
    ::close(pipe_[1]);
  }

 private:
  class PipeTurn : public FuseReaders::Turn {
   public:
    explicit PipeTurn(PipeReaders& pipe) : pipe_(pipe) {}
    bool receive() override {
      EXPECT_EQ(pipe_.reading.fetch_add(1), 0) << "two read at once";
      const Leaving left(pipe_.reading);
      int before = 0;
      pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
      const ssize_t got = ::read(pipe_.pipe_[0], &request_, 1);
      pthread_setcancelstate(before, nullptr);
      return got == 1;
    }
    bool answer() override {
      pipe_.handler_(request_);
      return true;
    }

   private:
    struct Leaving {
      explicit Leaving(std::atomic<int>& count) : count_(count) {}
      ~Leaving() { count_.fetch_sub(1); }
      std::atomic<int>& count_;
    };
    PipeReaders& pipe_;
    char request_ = 0;
  };

  const Handler handler_;
  std::array<int, 2> pipe_{};
  std::thread server_;

 public:
  FuseReaders readers;
  std::atomic<int> reading{0};
  std::atomic<bool> returned{false};
};

/// Waits until `reached()`, at most 20 s.
bool eventually(const std::function<bool()>& reached) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!reached()) {
    if (std::chrono::steady_clock::now() >= give_up) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(FuseReaders, OneThreadAnswersWhateverDoesNotWait) {
  std::mutex mutex;
  std::set<std::thread::id> answered_by;
  std::atomic<int> answers{0};
  PipeReaders pipe(8, [&](char) {
    const std::lock_guard lock(mutex);
    answered_by.insert(std::this_thread::get_id());
    answers.fetch_add(1);
  });
  for (int i = 0; i < 1000; ++i) pipe.ask('r');
  pipe.finish();
  EXPECT_EQ(answers.load(), 1000);
  EXPECT_EQ(answered_by.size(), 1u);
}

TEST(FuseReaders, ARequestThatWaitsDoesNotHoldUpTheNext) {
  Gate gate;
  gate.close();
  std::atomic<int> quick{0};
  PipeReaders pipe(4, [&](char request) {
    if (request == 'w') return gate.pass();  // a CondVar: tells that it waits
    quick.fetch_add(1);
  });
  for (int i = 0; i < 3; ++i) pipe.ask('w');
  gate.wait_for(3);
  for (int i = 0; i < 100; ++i) pipe.ask('q');
  EXPECT_TRUE(eventually([&] { return quick.load() == 100; })) << quick.load();
  EXPECT_EQ(gate.inside(), 3u);
  gate.open();
  pipe.finish();
  EXPECT_EQ(pipe.readers.threads(), 0u);
}

TEST(FuseReaders, ThreadsAreBoundedAndTheFirstToAnswerReadsOn) {
  Gate gate;
  gate.close();
  std::atomic<int> refused{0};
  std::atomic<int> quick{0};
  PipeReaders pipe(3, [&](char request) {
    if (request == 'q') {
      quick.fetch_add(1);
      return;
    }
    if (!about_to_wait()) refused.fetch_add(1);
    gate.pass();
  });
  for (int i = 0; i < 3; ++i) pipe.ask('w');
  gate.wait_for(3);
  EXPECT_EQ(refused.load(), 1);  // the last one has nobody to read on
  EXPECT_EQ(pipe.readers.threads(), 3u);
  pipe.ask('q');
  EXPECT_EQ(quick.load(), 0);
  gate.open();
  EXPECT_TRUE(eventually([&] { return quick.load() == 1; }));
  EXPECT_EQ(pipe.readers.threads(), 3u);
}

TEST(FuseReaders, StopInterruptsTheReadAndLetsAnswersFinish) {
  for (int round = 0; round < 50; ++round) {
    Gate gate;
    gate.close();
    std::atomic<int> answered{0};
    PipeReaders pipe(4, [&](char) {
      gate.pass();
      answered.fetch_add(1);
    });
    pipe.ask('w');
    pipe.ask('w');
    gate.wait_for(2);
    pipe.readers.stop();
    EXPECT_FALSE(pipe.returned.load());  // two are being answered
    gate.open();
    pipe.stop();
    EXPECT_EQ(answered.load(), 2);
  }
}

TEST(FuseReaders, StopBeforeRunEndsItAtOnce) {
  FuseReaders readers(2);
  readers.stop();
  readers.run([]() -> std::unique_ptr<FuseReaders::Turn> {
    ADD_FAILURE() << "nobody should read";
    return nullptr;
  });
}

/// Many requests of which every other one waits for the one after it: the lead passes on all the
/// time, and each answer comes once.
TEST(FuseReaders, TheLeadPassesOnThousandsOfTimes) {
  Mutex mutex;
  CondVar changed;
  int waiting = 0;  // both under the mutex
  int answered = 0;
  PipeReaders pipe(6, [&](char request) {
    const MutexLock lock(mutex);
    if (request == 'w') {
      ++waiting;
      const int before = answered;
      while (answered == before) changed.wait(mutex);
      --waiting;
    } else {
      ++answered;
      changed.notify_all();
    }
  });
  for (int i = 0; i < 5000; ++i) {
    pipe.ask('w');
    pipe.ask('a');
  }
  EXPECT_TRUE(eventually([&] {
    const MutexLock lock(mutex);
    if (answered >= 5000 && waiting > 0) {  // one may have waited past the last answer
      ++answered;
      changed.notify_all();
    }
    return answered >= 5000 && waiting == 0;
  }));
  pipe.finish();
}

}  // namespace
}  // namespace varve::test
