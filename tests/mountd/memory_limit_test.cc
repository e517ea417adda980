// SPDX-License-Identifier: Apache-2.0
#include "mountd/memory_limit.h"

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "fs/memory_shares.h"
#include "store/base/error.h"

namespace varve::test {
namespace {

class MemoryLimit : public ::testing::Test {
 protected:
  void TearDown() override { ::unsetenv("VARVE_MEMORY"); }
  static std::uint64_t limit(const char* text) {
    ::setenv("VARVE_MEMORY", text, 1);
    return memory_limit_bytes();
  }
  static std::string refusal(const char* text) {
    try {
      limit(text);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), EINVAL);
      return error.what();
    }
    return "";
  }
};

TEST_F(MemoryLimit, IsBytesOrHasAUnit) {
  ::unsetenv("VARVE_MEMORY");
  EXPECT_EQ(memory_limit_bytes(), kDefaultMemoryBytes);
  EXPECT_EQ(limit(""), kDefaultMemoryBytes);
  EXPECT_EQ(limit("402653184"), 384ull << 20);
  EXPECT_EQ(limit("64M"), 64ull << 20);
  EXPECT_EQ(limit("1GiB"), 1ull << 30);
  EXPECT_EQ(limit("1GB"), 1'000'000'000u);
}

TEST_F(MemoryLimit, WhatIsNoneIsRefusedWithASentenceThatShowsIt) {
  EXPECT_NE(refusal("much").find("'much'"), std::string::npos);
  EXPECT_NE(refusal("-1").find("no size"), std::string::npos);
  EXPECT_NE(refusal("0").find("64M or more"), std::string::npos);
  EXPECT_NE(refusal("63MiB").find("64M or more"), std::string::npos);
}

TEST_F(MemoryLimit, SharesLeaveRoomForTheRest) {
  for (const char* text : {"64M", "384M", "4G"}) {
    const std::uint64_t whole = limit(text);
    const RepositoryOptions options = within_memory_limit({});
    const std::uint64_t shares =
        options.dirty_stall_bytes + options.store.object_cache_bytes + options.node_cache_bytes;
    EXPECT_LE(shares, whole / 4 * 3 + 1) << text;
    EXPECT_GT(shares, whole / 2) << text;
    EXPECT_LT(options.dirty_limit_bytes, options.dirty_stall_bytes) << text;
  }
}

TEST(ResidentMemory, IsWhatTheProcessHas) { EXPECT_GT(resident_bytes(), 1u << 20); }

}  // namespace
}  // namespace varve::test
