// SPDX-License-Identifier: Apache-2.0
#include "fs/file_io.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fs/file_change.h"
#include "tests/support/volume_check.h"
#include "tests/support/volume_world.h"

namespace varve {
namespace {

using test::MemoryStore;
using test::VolumeWorld;

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes out(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : out) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return out;
}

class FileIo : public testing::Test {
 protected:
  AttachedVolume& volume() { return world_.volume(); }
  Ino make(const std::string& name) {
    return volume().make_node(kRootIno, name, S_IFREG | 0644, 0, {}).ino;
  }
  Bytes read(Ino ino, std::uint64_t offset, std::size_t size) {
    Bytes out(size, std::byte{0xee});
    out.resize(volume().read(ino, offset, out));
    return out;
  }
  Bytes read_all(Ino ino) { return read(ino, 0, volume().getattr(ino).size); }
  void write(Ino ino, std::uint64_t offset, const Bytes& data) {
    volume().write(ino, offset, data, false);
  }
  void truncate(Ino ino, std::uint64_t size) {
    SetAttributes change;
    change.size = size;
    volume().setattr(ino, change, {});
  }
  std::uint64_t allocated(Ino ino) { return volume().getattr(ino).blocks * 512; }
  /// What the tree's regions of the file hold, and how many regions there are.
  std::pair<std::uint64_t, std::size_t> in_tree(Ino ino) {
    std::uint64_t bytes = 0;
    std::size_t count = 0;
    for (const auto& [key, value] : world_.records()) {
      if (key.ino != ino || key.kind != Kind::kRegion) continue;
      bytes += RegionRecord::decode(value).allocated();
      ++count;
    }
    return {bytes, count};
  }
  std::vector<Digest> objects_of(Ino ino) {
    std::vector<Digest> out;
    for (const auto& [key, value] : world_.records()) {
      if (key.ino != ino) continue;
      visit_pointers(key.kind, value, [&](const Ptr& ptr) { out.push_back(ptr.digest); });
    }
    return out;
  }
  template <class Body>
  int error_of(Body&& body) {
    try {
      body();
      return 0;
    } catch (const Error& error) {
      return error.code();
    }
  }
  MemoryStore& store() { return world_.store(); }

  VolumeWorld world_;
};

TEST_F(FileIo, KeepsSmallFilesInTheInodeUntilTheyGrow) {
  const Ino ino = make("a");
  write(ino, 10, pattern(90, 1));
  EXPECT_EQ(allocated(ino), 512u);
  world_.commit();
  EXPECT_EQ(in_tree(ino).second, 0u);
  write(ino, 1000, pattern(1000, 2));
  EXPECT_EQ(allocated(ino), kBlockBytes);
  Bytes expected(2000);
  std::ranges::copy(pattern(90, 1), expected.begin() + 10);
  std::ranges::copy(pattern(1000, 2), expected.begin() + 1000);
  EXPECT_EQ(read_all(ino), expected);
  world_.commit();
  EXPECT_EQ(in_tree(ino), std::make_pair(kBlockBytes, std::size_t{1}));
  EXPECT_EQ(read_all(ino), expected);
  truncate(ino, 0);
  write(ino, 0, pattern(5, 3));
  world_.commit();
  EXPECT_EQ(in_tree(ino).second, 0u) << "from size 0 on it is small again";
  EXPECT_EQ(read_all(ino), pattern(5, 3));
}

TEST_F(FileIo, EndsAChunkAtTheFilesEnd) {
  const Ino ino = make("a");
  write(ino, 0, pattern(20'000, 1));
  world_.commit();
  const auto objects = objects_of(ino);
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(store().objects().read(objects[0], Wait::kAllowed)->size(), 20'000u);
}

TEST_F(FileIo, ShowsZerosInAFileThatWasCutAndGrew) {
  const Ino ino = make("a");
  write(ino, 0, pattern(300'000, 1));
  world_.commit();
  truncate(ino, 100'001);
  truncate(ino, 300'000);
  const auto check = [&] {
    Bytes expected = pattern(300'000, 1);
    std::fill(expected.begin() + 100'001, expected.end(), std::byte{0});
    EXPECT_EQ(read_all(ino), expected);
    EXPECT_EQ(allocated(ino), 7 * kBlockBytes);
  };
  check();
  world_.commit();
  check();
  EXPECT_EQ(in_tree(ino).first, 7 * kBlockBytes);
}

TEST_F(FileIo, TurnsBlocksOfZerosIntoHoles) {
  const Ino ino = make("a");
  write(ino, 0, pattern(8 * kBlockBytes, 1));
  write(ino, kBlockBytes, Bytes(2 * kBlockBytes + 5));
  EXPECT_EQ(allocated(ino), 6 * kBlockBytes);
  write(ino, 20 * kBlockBytes, Bytes(kBlockBytes));
  EXPECT_EQ(allocated(ino), 6 * kBlockBytes);
  EXPECT_EQ(volume().getattr(ino).size, 21 * kBlockBytes);
  EXPECT_EQ(volume().seek(ino, 0, SeekWhat::kHole), kBlockBytes);
  EXPECT_EQ(volume().seek(ino, kBlockBytes, SeekWhat::kData), 3 * kBlockBytes);
  world_.commit();
  EXPECT_EQ(in_tree(ino).first, 6 * kBlockBytes);
  EXPECT_EQ(volume().seek(ino, 8 * kBlockBytes, SeekWhat::kHole), 8 * kBlockBytes);
  EXPECT_EQ(error_of([&] { volume().seek(ino, 9 * kBlockBytes, SeekWhat::kData); }), ENXIO);
  EXPECT_EQ(error_of([&] { volume().seek(ino, 21 * kBlockBytes, SeekWhat::kHole); }), ENXIO);
}

TEST_F(FileIo, HoldsAFileOfEightTebibytes) {
  const Ino ino = make("a");
  const std::uint64_t far = 8ull << 40;
  write(ino, far, pattern(10, 1));
  write(ino, 5, pattern(10, 2));
  EXPECT_EQ(allocated(ino), 2 * kBlockBytes);
  EXPECT_EQ(volume().seek(ino, kBlockBytes, SeekWhat::kData), far);
  world_.commit();
  EXPECT_EQ(volume().seek(ino, kBlockBytes, SeekWhat::kData), far);
  EXPECT_EQ(volume().seek(ino, 5, SeekWhat::kHole), kBlockBytes);
  EXPECT_EQ(read(ino, far - 5, 100).size(), 15u);
  volume().allocate(ino, AllocateMode::kPunchHole, 1, far + 100);
  EXPECT_EQ(allocated(ino), kBlockBytes) << "the edge before byte 1 is data";
  truncate(ino, kMaxFileBytes);
  truncate(ino, 1);
  world_.commit();
  EXPECT_EQ(read_all(ino), Bytes(1));
  EXPECT_EQ(in_tree(ino).second, 1u);
}

TEST_F(FileIo, RefusesWhatPosixRefuses) {
  const Ino ino = make("a");
  const Ino directory = volume().make_directory(kRootIno, "d", 0755, {}).ino;
  EXPECT_EQ(error_of([&] { write(ino, kMaxFileBytes, pattern(1, 1)); }), EFBIG);
  EXPECT_EQ(error_of([&] { truncate(ino, kMaxFileBytes + 1); }), EFBIG);
  EXPECT_EQ(error_of([&] { write(directory, 0, pattern(1, 1)); }), EISDIR);
  EXPECT_EQ(error_of([&] { read(directory, 0, 1); }), EISDIR);
  EXPECT_EQ(error_of([&] { read(Ino{999}, 0, 1); }), ESTALE);
  EXPECT_EQ(error_of([&] { volume().allocate(ino, AllocateMode::kExtend, 0, 0); }), EINVAL);
  write(ino, 0, pattern(2 * kRegionBytes, 1));
  EXPECT_EQ(error_of([&] { volume().copy_range(ino, 0, ino, 5, 10); }), EINVAL);
}

TEST_F(FileIo, CountsABigCutOutsideOfTheGate) {
  const Ino ino = make("a");
  const std::uint64_t regions = FileChange::kGateRegions + 200;
  for (std::uint64_t i = 0; i < regions; ++i) write(ino, i * kRegionBytes, pattern(1, 1));
  EXPECT_EQ(allocated(ino), regions * kBlockBytes);
  world_.commit();
  write(ino, 3 * kRegionBytes, pattern(20'000, 2));
  world_.freeze();
  write(ino, 4 * kRegionBytes, pattern(20'000, 2));
  truncate(ino, 3 * kRegionBytes);
  EXPECT_EQ(allocated(ino), 3 * kBlockBytes);
  world_.commit();
  EXPECT_EQ(in_tree(ino), std::make_pair(3 * kBlockBytes, std::size_t{3}));
}

TEST_F(FileIo, EnforcesTheQuotaOnGrowthOnly) {
  const Ino ino = make("a");
  world_.head().run([&] {
    Transaction transaction(world_.head());
    transaction.head_info().quota_bytes = 10 * kBlockBytes;
    transaction.commit();
  });
  write(ino, 0, pattern(10 * kBlockBytes, 1));
  EXPECT_EQ(error_of([&] { write(ino, 10 * kBlockBytes, pattern(1, 1)); }), EDQUOT);
  EXPECT_EQ(volume().getattr(ino).size, 10 * kBlockBytes);
  write(ino, 0, pattern(kBlockBytes, 2));
  EXPECT_EQ(error_of([&] { volume().allocate(ino, AllocateMode::kExtend, 0, 20 * kBlockBytes); }),
            EDQUOT);
  truncate(ino, 5 * kBlockBytes);
  write(ino, 20 * kBlockBytes, pattern(1, 1));
  EXPECT_EQ(world_.info().logical_bytes, 6 * kBlockBytes);
}

// ---- sharing -----------------------------------------------------------------------------------

TEST_F(FileIo, SharesCommittedRegionsWithoutCopying) {
  const Ino from = make("a");
  const Ino to = make("b");
  const Bytes content = pattern(5 * kRegionBytes + 1000, 1);
  write(from, 0, content);
  world_.commit();
  const std::uint64_t stored = store().memory().contents_stored();
  EXPECT_EQ(volume().copy_range(from, 0, to, 0, content.size()), content.size());
  EXPECT_EQ(read_all(to), content);
  EXPECT_EQ(allocated(to), allocated(from));
  world_.commit();
  EXPECT_EQ(read_all(to), content);
  EXPECT_LE(store().memory().contents_stored() - stored, 6u) << "nodes and the tail";
  // Each name of a shared object is a birth of its own.
  volume().unlink(kRootIno, "a");
  volume().forget(from, 1);
  world_.commit();
  store().memory().reclaim();
  EXPECT_EQ(read_all(to), content);
}

TEST_F(FileIo, SharesASourceThatIsOverwrittenInTheSameGeneration) {
  const Ino from = make("a");
  const Ino to = make("b");
  const Bytes content = pattern(2 * kRegionBytes, 1);
  write(from, 0, content);
  world_.commit();
  volume().copy_range(from, 0, to, 0, content.size());
  write(from, 0, pattern(2 * kRegionBytes, 2));
  write(to, 5, pattern(3, 9));
  Bytes expected = content;
  std::ranges::copy(pattern(3, 9), expected.begin() + 5);
  world_.crash();
  EXPECT_EQ(read_all(to), expected);
  world_.commit();
  store().memory().reclaim();
  EXPECT_EQ(read_all(to), expected);
  EXPECT_EQ(read_all(from), pattern(2 * kRegionBytes, 2));
}

TEST_F(FileIo, CopiesWhatIsNotCommittedYet) {
  const Ino from = make("a");
  const Ino to = make("b");
  const Bytes content = pattern(3 * kRegionBytes, 1);
  write(from, 0, content);
  world_.freeze();
  write(from, kRegionBytes, pattern(10, 2));
  write(to, 100, pattern(100, 3));
  volume().copy_range(from, 0, to, kRegionBytes, content.size());
  const Bytes expected = read_all(from);
  EXPECT_EQ(read(to, kRegionBytes, content.size()), expected);
  world_.commit();
  EXPECT_EQ(read(to, kRegionBytes, content.size()), expected);
  EXPECT_EQ(read(to, 100, 100), pattern(100, 3));
}

// ---- forms -------------------------------------------------------------------------------------

TEST_F(FileIo, OverridesABaseAndDropsItAtFourBlocks) {
  const Ino ino = make("a");
  write(ino, 0, pattern(kRegionBytes, 1));
  world_.commit();
  EXPECT_EQ(objects_of(ino).size(), 1u);
  Bytes expected = pattern(kRegionBytes, 1);
  for (unsigned i = 0; i < 4; ++i) {
    write(ino, i * kBlockBytes + 100, pattern(50, i + 2));
    std::ranges::copy(pattern(50, i + 2), expected.begin() + i * kBlockBytes + 100);
    world_.commit();
    EXPECT_EQ(objects_of(ino).size(), i < 3 ? i + 2 : 8u);
    ASSERT_EQ(read_all(ino), expected);
  }
  write(ino, 0, pattern(kRegionBytes, 9));
  world_.commit();
  EXPECT_EQ(objects_of(ino).size(), 1u) << "written as a whole it is bulk again";
}

TEST_F(FileIo, MakesOneChunkOfARegionThatIsAppendedTo) {
  const Ino ino = make("a");
  write(ino, 0, pattern(20'000, 1));
  world_.commit();
  write(ino, 20'000, pattern(kRegionBytes - 20'000, 2));
  world_.commit();
  EXPECT_EQ(objects_of(ino).size(), 1u);
}

TEST_F(FileIo, RewritesOnlyTheBlocksThatChanged) {
  const Ino ino = make("a");
  write(ino, 0, pattern(4 << 20, 1));
  world_.commit();
  const std::uint64_t before = store().memory().contents_stored();
  std::mt19937_64 random(7);
  for (int i = 0; i < 100; ++i) {
    write(ino, random() % 500 * 8192, pattern(8192, static_cast<unsigned>(i)));
  }
  world_.commit();
  // 100 updates touch at most 100 blocks; regions with four of them are split once.
  EXPECT_LE(store().memory().contents_stored() - before, 8 * 32 + 10u);
}

// ---- damage ------------------------------------------------------------------------------------

TEST_F(FileIo, RefusesAPartialWriteIntoADamagedBlockAndTakesAWholeOne) {
  const Ino ino = make("a");
  const Ino other = make("b");
  write(ino, 0, pattern(kRegionBytes, 1));
  write(other, 0, pattern(5000, 2));
  world_.commit();
  for (const Digest& digest : objects_of(ino)) store().memory().damage(digest);
  EXPECT_EQ(error_of([&] { read(ino, 0, 10); }), EIO);
  EXPECT_EQ(error_of([&] { write(ino, 10, pattern(10, 3)); }), EIO);
  EXPECT_EQ(error_of([&] { volume().allocate(ino, AllocateMode::kPunchHole, 10, kBlockBytes); }),
            EIO);
  write(ino, 2 * kBlockBytes, pattern(kBlockBytes, 4));
  write(other, 10, pattern(10, 3));
  world_.commit();
  EXPECT_EQ(read(ino, 2 * kBlockBytes, kBlockBytes), pattern(kBlockBytes, 4));
  EXPECT_EQ(error_of([&] { read(ino, kBlockBytes, 10); }), EIO);
  EXPECT_EQ(read(other, 10, 10), pattern(10, 3));
  write(ino, 0, pattern(kRegionBytes, 5));
  world_.commit();
  EXPECT_EQ(read_all(ino), pattern(kRegionBytes, 5));
}

TEST_F(FileIo, CommitsTheRestWhenABlockIsDamagedAfterAWriteWasAccepted) {
  const Ino ino = make("a");
  const Ino other = make("b");
  write(ino, 0, pattern(2 * kRegionBytes, 1));
  world_.commit();
  write(ino, 10, pattern(10, 3));
  for (std::uint64_t block = 2; block < 7; ++block) {
    write(ino, block * kBlockBytes, pattern(kBlockBytes, 4));
  }
  write(other, 0, pattern(5000, 2));
  for (const Digest& digest : objects_of(ino)) store().memory().damage(digest);
  world_.commit();
  EXPECT_EQ(read(other, 0, 5000), pattern(5000, 2));
  EXPECT_EQ(read(ino, 2 * kBlockBytes, kBlockBytes), pattern(kBlockBytes, 4));
  EXPECT_EQ(error_of([&] { read(ino, 0, 10); }), EIO) << "never wrong data";
}

// ---- random operations -------------------------------------------------------------------------

/// A file as plain bytes, with the blocks that must hold data.
struct FlatFile {
  Bytes bytes;
  std::set<std::uint64_t> blocks;
  bool small = true;  ///< kept inline while it is not empty

  std::uint64_t allocated() const {
    return small ? inline_allocated(bytes.size()) : blocks.size() * kBlockBytes;
  }
  void leave_inline() {
    if (small && !bytes.empty()) blocks = {0};
    small = false;
  }
  void write(std::uint64_t offset, const Bytes& data) {
    const std::uint64_t end = offset + data.size();
    const std::uint64_t size = std::max<std::uint64_t>(bytes.size(), end);
    const bool can_be_small = small ? true : blocks.empty();
    if (can_be_small && size <= kInlineBytes) {
      small = true;
    } else {
      leave_inline();
    }
    bytes.resize(size);
    std::ranges::copy(data, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    if (small) return;
    for (std::uint64_t at = offset; at < end; at = (at / kBlockBytes + 1) * kBlockBytes) {
      const std::uint64_t next = std::min(end, (at / kBlockBytes + 1) * kBlockBytes);
      const bool zero = std::all_of(data.begin() + static_cast<std::ptrdiff_t>(at - offset),
                                    data.begin() + static_cast<std::ptrdiff_t>(next - offset),
                                    [](std::byte byte) { return byte == std::byte{0}; });
      if (zero && next - at == kBlockBytes) {
        blocks.erase(at / kBlockBytes);
      } else {
        blocks.insert(at / kBlockBytes);
      }
    }
  }
  void truncate(std::uint64_t size) {
    if (!(small && !bytes.empty() && size <= kInlineBytes)) {
      if (size > bytes.size()) leave_inline();
      if (size == 0) blocks.clear();
    }
    bytes.resize(size);
    blocks.erase(blocks.lower_bound((size + kBlockBytes - 1) / kBlockBytes), blocks.end());
    if (small && size > kInlineBytes) small = false;
    if (size == 0) small = true;
  }
  void punch(std::uint64_t offset, std::uint64_t size) {
    if (offset >= bytes.size()) return;
    std::uint64_t end = std::min<std::uint64_t>(bytes.size(), offset + size);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(offset),
              bytes.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
    if (small) return;
    if (end == bytes.size()) end = (end + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    for (std::uint64_t block = (offset + kBlockBytes - 1) / kBlockBytes; block < end / kBlockBytes;
         ++block) {
      blocks.erase(block);
    }
  }
};

class FileIoFuzz : public FileIo, public testing::WithParamInterface<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, FileIoFuzz, testing::Range<std::uint64_t>(1, 13));

TEST_P(FileIoFuzz, AgreesWithAFlatFileAcrossFreezesCommitsAndCrashes) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  std::mt19937_64 random(GetParam());
  Ino ino = make("a");
  FlatFile flat;
  const std::uint64_t span = 600'000;
  store().memory().refuse_first_touch(GetParam() % 3 == 0);
  for (int step = 0; step < 250; ++step) {
    std::uint64_t offset = random() % (random() % 4 == 0 ? 900 : span);
    if (random() % 3 == 0) offset = offset / kBlockBytes * kBlockBytes;
    const std::uint64_t size = random() % (random() % 3 == 0 ? 200'000 : 9'000) + 1;
    switch (random() % 12) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: {
        Bytes data =
            pattern(random() % 5 == 0 ? size % 500 + 1 : size, static_cast<unsigned>(random()));
        if (random() % 4 == 0) std::fill(data.begin(), data.end(), std::byte{0});
        write(ino, offset, data);
        flat.write(offset, data);
        break;
      }
      case 5:
        volume().allocate(ino, AllocateMode::kPunchHole, offset, size);
        flat.punch(offset, size);
        break;
      case 6: {
        const std::uint64_t to = random() % 4 == 0 ? 0 : random() % 4 == 0 ? offset % 1500 : offset;
        truncate(ino, to);
        flat.truncate(to);
        break;
      }
      case 7:
        volume().allocate(ino, AllocateMode::kZeroRange, offset, size);
        flat.punch(offset, size);
        if (offset + size > flat.bytes.size()) flat.truncate(offset + size);
        break;
      case 8:
        world_.freeze();
        break;
      case 9:
        world_.commit_frozen();
        break;
      case 10:
        world_.commit();
        if (!flat.small) {
          EXPECT_EQ(in_tree(ino).first, flat.allocated());
        }
        store().memory().reclaim();
        break;
      case 11:
        if (random() % 3 == 0) world_.crash();
        break;
    }
    ASSERT_EQ(volume().getattr(ino).size, flat.bytes.size()) << "step " << step;
    ASSERT_EQ(allocated(ino), flat.allocated()) << "step " << step;
    ASSERT_TRUE(read_all(ino) == flat.bytes) << "step " << step;
    ASSERT_EQ(world_.info().logical_bytes, flat.allocated());
  }
  world_.commit();
  EXPECT_THAT(test::problems_of(world_.records()), testing::IsEmpty());
  ASSERT_TRUE(read_all(ino) == flat.bytes);
}

}  // namespace
}  // namespace varve
