// SPDX-License-Identifier: Apache-2.0
#include "fs/file_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace varve {
namespace {

constexpr std::uint64_t kBlocks = 40;
constexpr std::uint64_t kFileBytes = kBlocks * kBlockBytes;
/// What the older state shows, and what a shared region shows, in these tests.
constexpr std::byte kOlder{0xaa};
constexpr std::byte kShared{0xbb};

Bytes bytes_of(std::size_t size, int value) { return Bytes(size, static_cast<std::byte>(value)); }

/// The bytes that FileData's rules give.
Bytes shown(const FileData& data) {
  Bytes out(kFileBytes);
  for (std::uint64_t block = 0; block < kBlocks; ++block) {
    std::byte* const to = out.data() + block * kBlockBytes;
    const auto at = data.blocks().find(block);
    if (at == data.blocks().end() ? data.is_hole(block) : at->second.zero_below) {
      std::memset(to, 0, kBlockBytes);
    } else if (data.shared().contains(block / kBlocksPerRegion)) {
      std::memset(to, static_cast<int>(kShared), kBlockBytes);
    } else {
      const std::uint64_t begin = block * kBlockBytes;
      const std::uint64_t older = std::clamp(data.base_limit(), begin, begin + kBlockBytes) - begin;
      std::memset(to, static_cast<int>(kOlder), older);
      std::memset(to + older, 0, kBlockBytes - older);
    }
    if (at == data.blocks().end()) continue;
    for (const auto& range : at->second.written) {
      std::memcpy(to + range.begin, at->second.bytes.at(range.begin), range.end - range.begin);
    }
  }
  return out;
}

void expect_well_formed(const FileData& data) {
  std::uint64_t hole_end = 0;
  bool first = true;
  for (const auto& [begin, end] : data.holes()) {
    EXPECT_LT(begin, end);
    if (!first) {
      EXPECT_LT(hole_end, begin) << "holes that touch are one";
    }
    hole_end = end;
    first = false;
  }
  for (const auto& [index, block] : data.blocks()) {
    EXPECT_FALSE(data.is_hole(index));
    for (std::size_t i = 0; i < block.written.size(); ++i) {
      EXPECT_LT(block.written[i].begin, block.written[i].end);
      EXPECT_LE(block.written[i].end, kBlockBytes);
      if (i > 0) {
        EXPECT_LT(block.written[i - 1].end, block.written[i].begin);
      }
    }
  }
}

TEST(FileData, JoinsWrittenRangesThatTouch) {
  FileData data;
  data.write(100, bytes_of(50, 1));
  data.write(200, bytes_of(50, 2));
  EXPECT_EQ(data.blocks().at(0).written.size(), 2u);
  data.write(150, bytes_of(50, 3));
  ASSERT_EQ(data.blocks().at(0).written.size(), 1u);
  EXPECT_EQ(data.blocks().at(0).written[0].begin, 100u);
  EXPECT_EQ(data.blocks().at(0).written[0].end, 250u);
  data.write(0, bytes_of(kBlockBytes, 4));
  EXPECT_TRUE(data.blocks().at(0).whole());
}

TEST(FileData, ShowsZerosAroundAWriteIntoAHole) {
  FileData data;
  data.punch(0, 4 * kBlockBytes);
  data.write(kBlockBytes + 5, bytes_of(1, 1));
  EXPECT_TRUE(data.blocks().at(1).zero_below);
  EXPECT_TRUE(data.is_hole(0));
  EXPECT_FALSE(data.is_hole(1));
  EXPECT_TRUE(data.is_hole(2));
}

TEST(FileData, HidesTheOlderStatePastACut) {
  FileData data;
  data.cut(10);
  data.write(kBlockBytes, bytes_of(1, 1));
  EXPECT_EQ(data.base_limit(), 10u);
  EXPECT_TRUE(data.blocks().at(1).zero_below);
  data.cut(1000);
  EXPECT_EQ(data.base_limit(), 10u) << "a later cut further out shows nothing again";
  EXPECT_TRUE(data.blocks().empty());
}

TEST(FileData, ShowsARegionSharedAfterACut) {
  FileData data;
  data.cut(0);
  data.share(1, {});
  data.write(kRegionBytes + 3, bytes_of(1, 1));
  EXPECT_FALSE(data.blocks().at(kBlocksPerRegion).zero_below);
  data.cut(kRegionBytes + kBlockBytes + 7);
  const Bytes out = shown(data);
  EXPECT_EQ(out[kRegionBytes + kBlockBytes + 6], kShared);
  EXPECT_EQ(out[kRegionBytes + kBlockBytes + 7], std::byte{0});
  EXPECT_EQ(out[kRegionBytes + 3 * kBlockBytes], std::byte{0});
}

TEST(FileData, CountsItsMemory) {
  FileData data;
  data.write(0, bytes_of(3 * kBlockBytes, 1));
  EXPECT_GE(data.memory_bytes(), 3 * kBlockBytes);
  data.punch(kBlockBytes, kBlockBytes);
  data.share(2, {});
  data.cut(0);
  EXPECT_EQ(data.memory_bytes(), 0u);
}

TEST(FileData, KeepsAnEndlessPunchSmall) {
  FileData data;
  data.punch(5, FileData::kNoLimit);
  data.punch(1ull << 40, 1ull << 40);
  EXPECT_EQ(data.holes().size(), 1u);
  data.write(1ull << 43, bytes_of(1, 1));
  EXPECT_EQ(data.holes().size(), 2u);
}

class FileDataFuzz : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, FileDataFuzz, testing::Range<std::uint64_t>(1, 13));

TEST_P(FileDataFuzz, AgreesWithAFlatFile) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  FileData data;
  Bytes flat(kFileBytes, kOlder);
  const auto zero = [&](std::uint64_t begin, std::uint64_t end) {
    std::fill(flat.begin() + static_cast<std::ptrdiff_t>(begin),
              flat.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
  };
  for (int step = 0; step < 150; ++step) {
    std::uint64_t offset = random() % kFileBytes;
    if (random() % 3 == 0) offset = offset / kBlockBytes * kBlockBytes;
    const std::uint64_t limit = random() % 2 == 0 ? 2000 : 5 * kBlockBytes;
    const std::uint64_t size = std::min(kFileBytes - offset, random() % limit + 1);
    const std::uint64_t before = data.changes();
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const Bytes bytes = bytes_of(size, static_cast<int>(random() % 100 + 1));
        data.write(offset, bytes);
        std::copy(bytes.begin(), bytes.end(), flat.begin() + static_cast<std::ptrdiff_t>(offset));
        break;
      }
      case 4:
      case 5:
        data.punch(offset, size);
        zero(offset, offset + size);
        break;
      case 6:
        if (random() % 4 != 0) continue;
        data.cut(offset);
        zero(offset, kFileBytes);
        break;
      case 7: {
        const std::uint64_t region = offset / kRegionBytes;
        data.share(region, {});
        std::fill_n(flat.begin() + static_cast<std::ptrdiff_t>(region * kRegionBytes), kRegionBytes,
                    kShared);
        break;
      }
    }
    EXPECT_GT(data.changes(), before);
    expect_well_formed(data);
    ASSERT_TRUE(shown(data) == flat) << "after step " << step;
  }
  const FileData shape = data.shape();
  EXPECT_EQ(shape.blocks().size(), data.blocks().size());
  EXPECT_EQ(shape.holes(), data.holes());
  EXPECT_EQ(shape.base_limit(), data.base_limit());
}

}  // namespace
}  // namespace varve
