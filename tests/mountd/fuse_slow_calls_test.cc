// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_slow_calls.h"

#include <atomic>
#include <csignal>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/shared_volume.h"

namespace varve::test {
namespace {

TEST(FuseSlowCalls, AsManyRunAtOnceAsThereAreThreads) {
  FuseSlowCalls calls(8);
  Gate gate;
  gate.close();
  std::atomic<int> done{0};
  for (int i = 0; i < 20; ++i)
    calls.run([&] {
      gate.pass();
      done.fetch_add(1);
    });
  gate.wait_for(8);
  EXPECT_EQ(gate.inside(), 8u);
  EXPECT_EQ(calls.waiting(), 12u);
  EXPECT_EQ(done.load(), 0);
  gate.open();
  calls.finish();
  EXPECT_EQ(done.load(), 20);
  EXPECT_EQ(calls.waiting(), 0u);
}

TEST(FuseSlowCalls, FinishRunsWhatIsWaiting) {
  std::atomic<int> done{0};
  {
    FuseSlowCalls calls(1);
    for (int i = 0; i < 100; ++i) calls.run([&] { done.fetch_add(1); });
  }
  EXPECT_EQ(done.load(), 100);
}

TEST(FuseSlowCalls, AfterFinishCallsRunWhereTheyAreMade) {
  FuseSlowCalls calls(2);
  calls.finish();
  calls.finish();
  std::thread::id ran_in;
  calls.run([&] { ran_in = std::this_thread::get_id(); });
  EXPECT_EQ(ran_in, std::this_thread::get_id());
}

TEST(FuseSlowCalls, CallsAreReleasedWhenTheyHaveRun) {
  FuseSlowCalls calls(1);
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> weak = held;
  calls.run([held] {});
  held.reset();
  calls.finish();
  EXPECT_TRUE(weak.expired());
}

TEST(FuseSlowCalls, ThreadsTakeNoSignals) {
  FuseSlowCalls calls(1);
  std::atomic<bool> blocked{false};
  calls.run([&] {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    blocked.store(sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1);
  });
  calls.finish();
  EXPECT_TRUE(blocked.load());
  sigset_t mine;
  pthread_sigmask(SIG_BLOCK, nullptr, &mine);
  EXPECT_EQ(sigismember(&mine, SIGTERM), 0);
}

}  // namespace
}  // namespace varve::test
