// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/standing_keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include "mountd/keeper/keeper.h"
#include "mountd/keeper/keeper_lock.h"
#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

/// A keeper in a process of its own, and daemons of this one.
class StandingKeeperTest : public ::testing::Test {
 protected:
  StandingKeeperTest() {
    about_.store = store_.path();
    about_.always = true;
    start();
  }
  ~StandingKeeperTest() override { stop(); }

  void start() {
    keeper_ = ::fork();
    if (keeper_ != 0) return;
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDERR_FILENO);
    try {
      run_standing_keeper(store_.path(), socket());
    } catch (...) {
    }
    std::_Exit(1);
  }
  void stop() {
    ::kill(keeper_, SIGKILL);
    ::waitpid(keeper_, nullptr, 0);
  }
  std::string socket() const { return directory_.path() + "/keeper"; }

  KeeperLegacy hello() const { return KeeperLegacy::from_standing(socket(), about_); }
  /// The next daemon, which serves.
  std::unique_ptr<Keeper> serve() const {
    KeeperLegacy legacy = hello();
    auto keeper = std::make_unique<Keeper>(about_, legacy, socket());
    keeper->ready();
    return keeper;
  }
  static KeptMount mount(const std::string& target) {
    KeptMount out;
    out.target = target;
    out.mount_point = "/nowhere";
    out.detached = true;  // there is nothing to unmount
    return out;
  }
  std::uint64_t keep(Keeper& keeper, const std::string& target) const {
    const Descriptor device(::open("/dev/null", O_RDWR | O_CLOEXEC));
    return keeper.keep(mount(target), device.get());
  }
  static bool eventually(const std::function<bool()>& is_so) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < give_up) {
      if (is_so()) return true;
      std::this_thread::yield();
    }
    return false;
  }
  bool is_kept() const { return has_keeper(store_.path()); }

  const test::TempDirectory store_, directory_;
  KeeperHello about_;
  pid_t keeper_ = 0;
};

TEST_F(StandingKeeperTest, TheNextDaemonGetsWhatOneLeft) {
  {
    KeeperLegacy nothing = hello();
    EXPECT_TRUE(nothing.is_new());
  }
  std::uint64_t number = 0;
  {
    const auto daemon = serve();
    number = keep(*daemon, "kept");
    daemon->forget(keep(*daemon, "forgotten"));
    EXPECT_EQ(daemon->figures().takeovers, 0u);
  }
  KeeperLegacy legacy = hello();
  EXPECT_FALSE(legacy.is_new());
  ASSERT_EQ(legacy.mounts.size(), 1u);
  EXPECT_EQ(legacy.mounts[0].number, number);
  EXPECT_EQ(legacy.mounts[0].about.target, "kept");
  struct stat device {};
  ASSERT_EQ(::fstat(legacy.mounts[0].device.get(), &device), 0);
  EXPECT_TRUE(S_ISCHR(device.st_mode));
  EXPECT_TRUE(is_kept());  // nobody else may open the store meanwhile
  Keeper daemon(about_, legacy, socket());
  daemon.ready();
  EXPECT_EQ(daemon.figures().takeovers, 1u);
  EXPECT_TRUE(daemon.figures().last_pause_ms);
}

TEST_F(StandingKeeperTest, AnOrderlyEndLeavesNothing) {
  const auto daemon = serve();
  keep(*daemon, "kept");
  EXPECT_TRUE(eventually([&] { return is_kept(); }));
  daemon->goodbye();
  EXPECT_TRUE(eventually([&] { return !is_kept(); }));
  EXPECT_TRUE(hello().is_new());
}

TEST_F(StandingKeeperTest, ADaemonTellsANewKeeperWhatItServes) {
  auto daemon = serve();
  keep(*daemon, "kept");
  stop();
  EXPECT_TRUE(eventually([&] { return !daemon->figures().running; }));
  start();
  EXPECT_TRUE(eventually([&] { return daemon->figures().running; }));
  EXPECT_EQ(daemon->figures().pid, keeper_);
  // And that one gives it on.
  daemon.reset();
  EXPECT_EQ(hello().mounts.size(), 1u);
}

TEST_F(StandingKeeperTest, AnotherStoreIsRefused) {
  KeeperHello other = about_;
  other.store = "/elsewhere";
  try {
    KeeperLegacy::from_standing(socket(), other);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), EBUSY);
    EXPECT_NE(std::string(error.what()).find(store_.path()), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("/elsewhere"), std::string::npos);
  }
}

TEST_F(StandingKeeperTest, AStoreThatAnotherKeeperHoldsIsRefused) {
  const Descriptor other = hold_keeper_lock(store_.path());
  EXPECT_THROW(hello(), UserError);
}

TEST_F(StandingKeeperTest, EightDaemonsInARowThatFailEndTheMounts) {
  keep(*serve(), "kept");
  // The first one served, but only for a moment.
  for (int failed = 1; failed < 8; ++failed) {
    KeeperLegacy legacy = hello();
    ASSERT_EQ(legacy.mounts.size(), 1u) << failed;
    Keeper(about_, legacy, socket()).failed("the disk is on fire");
  }
  EXPECT_TRUE(eventually([&] { return !is_kept(); }));
  EXPECT_TRUE(hello().is_new());
}

}  // namespace
}  // namespace varve
