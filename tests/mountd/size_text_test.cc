// SPDX-License-Identifier: Apache-2.0
#include "mountd/size_text.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

TEST(SizeText, ANumberWithoutUnitIsGigabytes) {
  EXPECT_EQ(parse_size("10"), 10'000'000'000u);
  EXPECT_EQ(parse_size("0"), 0u);
  EXPECT_EQ(parse_size("0.5"), 500'000'000u);
}

TEST(SizeText, UnitsAreDecimalOrBinary) {
  EXPECT_EQ(parse_size("1B"), 1u);
  EXPECT_EQ(parse_size("3KB"), 3'000u);
  EXPECT_EQ(parse_size("3K"), 3'072u);
  EXPECT_EQ(parse_size("3kib"), 3'072u);
  EXPECT_EQ(parse_size("512MB"), 512'000'000u);
  EXPECT_EQ(parse_size("512m"), 512u << 20);
  EXPECT_EQ(parse_size("10 GB"), 10'000'000'000u);
  EXPECT_EQ(parse_size("1.5TiB"), 1'649'267'441'664u);
  EXPECT_EQ(parse_size("2PB"), 2'000'000'000'000'000u);
  EXPECT_EQ(parse_size("9223372036854775807B"), kMaxSizeBytes);
}

TEST(SizeText, WhatIsNoSizeIsRefusedWithTheText) {
  for (const char* text : {"",
                           " ",
                           "x",
                           "-1",
                           "+1",
                           "1x",
                           "1 0",
                           "10 GBB",
                           "1..5",
                           ".5",
                           "5.",
                           "1e9",
                           "0x10",
                           "NaN",
                           "9223372036854775808B",
                           "99999999999999999999",
                           "9300PB",
                           "9223372036854775807",
                           "0.1B",
                           "1GBx",
                           "１"}) {
    SCOPED_TRACE(text);
    try {
      parse_size(text);
      ADD_FAILURE() << "was accepted";
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), EINVAL);
      EXPECT_NE(std::string(error.what()).find("'" + std::string(text) + "'"), std::string::npos);
    }
  }
}

TEST(SizeText, SizesAreShownInTheLargestUnitThatFits) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(999), "999 B");
  EXPECT_EQ(size_text(1000), "1 KB");
  EXPECT_EQ(size_text(1'500'000), "1.5 MB");
  EXPECT_EQ(size_text(10'000'000'000), "10 GB");
  EXPECT_EQ(size_text(10'737'418'240), "10.73 GB");
  EXPECT_EQ(size_text(2'000'000'000'000), "2 TB");
  EXPECT_EQ(quota_text(0), "unlimited");
  EXPECT_EQ(quota_text(kDefaultQuotaBytes), "10 GB");
}

TEST(SizeText, LabelsCountGigabytes) {
  EXPECT_EQ(gigabytes_text(10'000'000'000), "10");
  EXPECT_EQ(gigabytes_text(512'000'000), "0.512");
  EXPECT_EQ(gigabytes_text(0), "0");
  EXPECT_EQ(gigabytes_text(1), "0.000000001");
}

TEST(SizeText, EveryTextThatIsShownIsUnderstood) {
  for (const std::uint64_t bytes : {1ull, 999ull, 1'000ull, 12'340'000ull, 10'000'000'000ull})
    EXPECT_EQ(parse_size(size_text(bytes)), bytes);
}

}  // namespace
}  // namespace varve
