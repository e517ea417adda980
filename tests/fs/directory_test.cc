// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

using testing::ElementsAre;

class Directory : public VolumeTest {
 protected:
  struct Line {
    std::string name;
    Ino ino{};
    std::uint64_t cookie = 0;
    bool attributes = false;
  };
  std::vector<Line> read(Ino ino, std::uint64_t cookie, std::size_t count,
                         bool with_attributes = false) {
    std::vector<Line> out;
    volume().read_directory(ino, cookie, with_attributes, [&](const DirectoryEntry& entry) {
      if (out.size() == count) return false;
      out.push_back(
          {std::string(entry.name), entry.ino, entry.cookie, entry.attributes != nullptr});
      return true;
    });
    return out;
  }
};

TEST_F(Directory, ShowsTheDotsFirst) {
  const Ino d = directory("d");
  file("a", d);
  const std::vector<Line> lines = read(d, 0, 100);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].name, ".");
  EXPECT_EQ(lines[0].ino, d);
  EXPECT_EQ(lines[1].name, "..");
  EXPECT_EQ(lines[1].ino, kRootIno);
  EXPECT_EQ(lines[2].name, "a");
  EXPECT_GE(lines[2].cookie, 256u);
}

TEST_F(Directory, IsReadInPiecesOfAnySize) {
  std::set<std::string> expected{".", ".."};
  for (int i = 0; i < 500; ++i) {
    file("file" + std::to_string(i));
    expected.insert("file" + std::to_string(i));
    if (i == 300) world_.commit();
    if (i == 400) world_.freeze();
  }
  for (const std::size_t piece : {1u, 7u, 32u, 128u, 1000u}) {
    std::set<std::string> seen;
    std::uint64_t cookie = 0;
    for (;;) {
      const std::vector<Line> lines = read(kRootIno, cookie, piece);
      if (lines.empty()) break;
      for (const Line& line : lines) EXPECT_TRUE(seen.insert(line.name).second) << line.name;
      cookie = lines.back().cookie;
    }
    EXPECT_EQ(seen, expected);
  }
}

TEST_F(Directory, NeitherSkipsNorRepeatsWhatStaysWhileOtherNamesChange) {
  constexpr std::uint64_t kSeed = 7;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937_64 random(kSeed);
  std::set<std::string> stay;
  for (int i = 0; i < 200; ++i) {
    file("stay" + std::to_string(i));
    stay.insert("stay" + std::to_string(i));
  }
  int next = 0;
  std::vector<std::string> others;
  for (int round = 0; round < 5; ++round) {
    std::map<std::string, int> seen;
    std::uint64_t cookie = 0;
    for (;;) {
      const std::vector<Line> lines = read(kRootIno, cookie, 1 + random() % 20);
      if (lines.empty()) break;
      for (const Line& line : lines) ++seen[line.name];
      cookie = lines.back().cookie;
      for (int i = 0; i < 5; ++i) {
        if (!others.empty() && random() % 2 == 0) {
          volume().unlink(kRootIno, others.back());
          others.pop_back();
        } else {
          others.push_back("other" + std::to_string(next++));
          file(others.back());
        }
      }
      if (random() % 8 == 0) world_.commit();
    }
    for (const std::string& name : stay) EXPECT_EQ(seen[name], 1) << name;
    for (const auto& [name, count] : seen) EXPECT_EQ(count, 1) << name;
  }
}

TEST_F(Directory, CookiesStayTheSameOverCommitAndRemount) {
  for (int i = 0; i < 20; ++i) file("file" + std::to_string(i));
  const auto cookies = [&] {
    std::map<std::string, std::uint64_t> out;
    for (const Line& line : read(kRootIno, 0, 100)) out[line.name] = line.cookie;
    return out;
  };
  const auto before = cookies();
  world_.commit();
  EXPECT_EQ(cookies(), before);
  world_.remount();
  EXPECT_EQ(cookies(), before);
}

TEST_F(Directory, CountsLookupsOfTheEntriesTakenOnly) {
  std::vector<Ino> inos;
  for (int i = 0; i < 10; ++i) {
    inos.push_back(file("file" + std::to_string(i)));
    forget(inos.back());
  }
  const std::vector<Line> lines = read(kRootIno, 0, 6, true);
  ASSERT_EQ(lines.size(), 6u);
  std::set<Ino> taken;
  for (const Line& line : lines) {
    EXPECT_EQ(line.attributes, line.name != "." && line.name != "..");
    if (line.attributes) taken.insert(line.ino);
  }
  EXPECT_EQ(taken.size(), 4u);
  for (int i = 0; i < 10; ++i) volume().unlink(kRootIno, "file" + std::to_string(i));
  for (const Ino ino : inos) EXPECT_EQ(exists(ino), taken.contains(ino));
  for (const Ino ino : taken) volume().forget(ino, 1);
  for (const Ino ino : inos) EXPECT_FALSE(exists(ino));
}

TEST_F(Directory, WithoutAttributesCountsNoLookups) {
  const Ino a = file("a");
  forget(a);
  read(kRootIno, 0, 100);
  volume().unlink(kRootIno, "a");
  EXPECT_FALSE(exists(a));
}

TEST_F(Directory, OfWhatIsNoneIsENOTDIR) {
  const Ino a = file("a");
  EXPECT_EQ(errno_of([&] { read(a, 0, 1); }), ENOTDIR);
  EXPECT_EQ(errno_of([&] { read(Ino{99}, 0, 1); }), ESTALE);
}

TEST_F(Directory, IsReadWhenEveryRecordHasToBeWaitedFor) {
  for (int i = 0; i < 300; ++i) file("file" + std::to_string(i));
  world_.commit();
  world_.remount();
  world_.store().memory().refuse_first_touch(true);
  EXPECT_EQ(read(kRootIno, 0, 1000, true).size(), 302u);
}

TEST_F(Directory, RemovedButOpenShowsTheDots) {
  const Ino d = directory("d");
  volume().rmdir(kRootIno, "d");
  EXPECT_EQ(read(d, 0, 10).size(), 2u);
  EXPECT_EQ(read(d, 0, 10)[1].ino, kRootIno);
}

}  // namespace
}  // namespace varve::test
