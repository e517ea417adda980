// SPDX-License-Identifier: Apache-2.0
#include "store/admission.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using test::DiskCall;
using test::FaultDisk;
using test::TempDirectory;

constexpr std::uint64_t kMiB = 1 << 20;

class AdmissionTest : public ::testing::Test {
 protected:
  bool takes(std::uint64_t bytes, Lsn lsn = 0) {
    try {
      admission_.take(bytes, lsn);
    } catch (const StoreError& error) {
      EXPECT_EQ(error.code(), ENOSPC);
      return false;
    }
    return true;
  }

  TempDirectory directory_;
  FaultDisk disk_;
  Admission admission_{disk_, directory_.path(), 10 * kMiB};
};

TEST_F(AdmissionTest, KeepsTheReserve) {
  disk_.plan().set_free_bytes(12 * kMiB);
  EXPECT_FALSE(takes(2 * kMiB + 1));
  EXPECT_TRUE(takes(2 * kMiB));
  EXPECT_FALSE(takes(1));
  EXPECT_EQ(admission_.space().free_bytes, 0u);
}

TEST_F(AdmissionTest, CountsWhatIsNotCommittedYet) {
  disk_.plan().set_free_bytes(20 * kMiB);
  EXPECT_TRUE(takes(6 * kMiB, 1000));
  EXPECT_TRUE(takes(4 * kMiB, 2000));
  EXPECT_FALSE(takes(1, 3000));
  // A commit stores the first; on the host they took nothing (all of it deduplicated).
  admission_.committed(1500);
  EXPECT_FALSE(takes(6 * kMiB + 1, 3000));
  EXPECT_TRUE(takes(6 * kMiB, 3000));
  admission_.committed(5000);
  EXPECT_TRUE(takes(10 * kMiB, 6000));
}

TEST_F(AdmissionTest, MergesManySmallOnesAndForgetsNone) {
  disk_.plan().set_free_bytes(10 * kMiB + 3 * kMiB);
  Lsn lsn = 0;
  int taken = 0;
  while (takes(4096, lsn += 4096)) ++taken;
  EXPECT_EQ(taken, 3 * 256);
  admission_.committed(lsn + 1);
  taken = 0;
  while (takes(4096, lsn += 4096)) ++taken;
  EXPECT_EQ(taken, 3 * 256);
}

// btrfs counts what was written and removed up to 30 seconds late: a store there gave its reserve
// away, and had no room for deletions.
TEST_F(AdmissionTest, AsksTheHostToCountBeforeItComesNearTheReserve) {
  std::uint64_t uncounted = 100 * kMiB;
  disk_.plan().set_free_bytes(300 * kMiB);
  disk_.plan().set_hook([&](DiskCall call, const std::string&) {
    if (call != DiskCall::kSettleSpace) return;
    disk_.plan().set_free_bytes(300 * kMiB - uncounted);
  });
  EXPECT_TRUE(takes(100 * kMiB, 1000));
  EXPECT_EQ(disk_.plan().count(DiskCall::kSettleSpace), 0u);
  admission_.committed(2000);  // written, and not counted by the host
  EXPECT_FALSE(takes(200 * kMiB, 3000));
  EXPECT_EQ(disk_.plan().count(DiskCall::kSettleSpace), 1u);
  EXPECT_TRUE(takes(180 * kMiB, 3000));
  EXPECT_EQ(disk_.plan().count(DiskCall::kSettleSpace), 1u);
}

TEST_F(AdmissionTest, WhatWasRemovedCountsAtOnceWhenLittleIsLeft) {
  disk_.plan().set_free_bytes(1000 * kMiB);
  admission_.removed();
  EXPECT_EQ(disk_.plan().count(DiskCall::kSettleSpace), 0u);
  disk_.plan().set_free_bytes(5 * kMiB);
  EXPECT_FALSE(takes(1));
  disk_.plan().set_hook([&](DiskCall call, const std::string&) {
    if (call == DiskCall::kSettleSpace) disk_.plan().set_free_bytes(50 * kMiB);
  });
  admission_.removed();
  EXPECT_TRUE(takes(40 * kMiB));
}

TEST_F(AdmissionTest, SeesSpaceThatBecameFreeBeforeItRefuses) {
  disk_.plan().set_free_bytes(10 * kMiB);
  EXPECT_FALSE(takes(kMiB));
  disk_.plan().set_free_bytes(20 * kMiB);
  EXPECT_TRUE(takes(kMiB));
}

TEST_F(AdmissionTest, IsFullWhenTheHostHasLessThanTheReserve) {
  disk_.plan().set_free_bytes(kMiB);
  EXPECT_FALSE(takes(1));
  EXPECT_EQ(admission_.space().free_bytes, 0u);
}

}  // namespace
}  // namespace varve
