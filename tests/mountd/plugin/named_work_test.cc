// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/named_work.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "store/base/error.h"

namespace varve {
namespace {

using std::chrono::milliseconds;

TEST(NamedWorkTest, ThrowsWhatTheWorkThrows) {
  NamedWork work(milliseconds(60'000));
  EXPECT_THROW(work.run("v", "made", [] { throw UserError(ENOENT, "gone"); }), UserError);
  bool ran = false;
  work.run("v", "made", [&] { ran = true; });
  EXPECT_TRUE(ran);
}

TEST(NamedWorkTest, OneNameAtATime) {
  NamedWork work(milliseconds(60'000));
  std::atomic<int> inside{0}, most{0}, done{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i)
    callers.emplace_back([&] {
      work.run("v", "made", [&] {
        most = std::max(most.load(), ++inside);
        std::this_thread::yield();
        --inside;
        ++done;
      });
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(most, 1);
  EXPECT_EQ(done, 16);
}

TEST(NamedWorkTest, ALongWorkGoesOnWhileCallersAreTold) {
  std::promise<void> go_on;
  std::atomic<bool> done{false};
  {
    NamedWork work(milliseconds(20));
    const auto refused = [&](const std::function<void()>& step) {
      try {
        work.run("v", "unmounted", step);
      } catch (const UserError& error) {
        EXPECT_EQ(error.code(), EBUSY);
        return std::string(error.what());
      }
      return std::string();
    };
    std::shared_future<void> signal = go_on.get_future().share();
    EXPECT_NE(refused([signal, &done] {
                signal.wait();
                done = true;
              }).find("still being unmounted"),
              std::string::npos);
    EXPECT_NE(refused([] {}).find("earlier call"), std::string::npos);
    bool other = false;
    work.run("w", "made", [&] { other = true; });
    EXPECT_TRUE(other);
    go_on.set_value();
  }
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace varve
