// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Rename : public VolumeTest {
 protected:
  void rename(Ino from, const std::string& name, Ino to, const std::string& new_name,
              RenameMode mode = RenameMode::kReplace) {
    volume().rename(from, name, to, new_name, mode);
  }
  int refusal(Ino from, const std::string& name, Ino to, const std::string& new_name,
              RenameMode mode = RenameMode::kReplace) {
    return errno_of([&] { rename(from, name, to, new_name, mode); });
  }
  const Ino d_ = directory("d");
  const Ino e_ = directory("e");
};

TEST_F(Rename, MovesAFileAndTouchesTimes) {
  const Ino a = file("a", d_);
  const Time time = tick();
  rename(d_, "a", e_, "longer");
  EXPECT_THAT(names(d_), IsEmpty());
  EXPECT_EQ(find("longer", e_), a);
  for (const Ino ino : {d_, e_}) {
    EXPECT_EQ(stat(ino).mtime, time);
    EXPECT_EQ(stat(ino).ctime, time);
  }
  EXPECT_EQ(stat(a).ctime, time);
  EXPECT_NE(stat(a).mtime, time);
}

TEST_F(Rename, WorksInsideOneDirectory) {
  const Ino a = file("a", d_);
  rename(d_, "a", d_, "bb");
  EXPECT_THAT(names(d_), ElementsAre("bb"));
  EXPECT_EQ(stat(d_).size, 2u);
  EXPECT_EQ(find("bb", d_), a);
}

TEST_F(Rename, MovedDirectoriesChangeLinkCountsAndDotDot) {
  const Ino sub = directory("sub", d_);
  rename(d_, "sub", e_, "sub");
  EXPECT_EQ(stat(d_).nlink, 2u);
  EXPECT_EQ(stat(e_).nlink, 3u);
  EXPECT_EQ(find("..", sub), e_);
  rename(e_, "sub", e_, "other");
  EXPECT_EQ(stat(e_).nlink, 3u);
}

TEST_F(Rename, ReplacesAFileAndFreesIt) {
  const Ino a = file("a", d_);
  const Ino b = file("b", d_);
  rename(d_, "a", d_, "b");
  EXPECT_EQ(find("b", d_), a);
  EXPECT_TRUE(exists(b)) << "it is in use";
  EXPECT_EQ(stat(b).nlink, 0u);
  forget(b);
  EXPECT_FALSE(exists(b));
}

TEST_F(Rename, ReplacesAnEmptyDirectory) {
  const Ino one = directory("one", d_);
  directory("two", e_);
  rename(d_, "one", e_, "two");
  EXPECT_EQ(stat(d_).nlink, 2u);
  EXPECT_EQ(stat(e_).nlink, 3u);
  EXPECT_EQ(find("two", e_), one);
  directory("three", e_);
  rename(e_, "two", e_, "three");
  EXPECT_EQ(stat(e_).nlink, 3u);
}

TEST_F(Rename, TakesOneLinkOfAReplacedFile) {
  const Ino a = file("a", d_);
  const Ino b = file("b", d_);
  volume().link(b, e_, "c");
  rename(d_, "a", d_, "b");
  EXPECT_EQ(stat(b).nlink, 1u);
  EXPECT_EQ(find("c", e_), b);
  EXPECT_EQ(find("b", d_), a);
}

TEST_F(Rename, RefusesWhatPosixRefuses) {
  file("a", d_);
  const Ino sub = directory("sub", d_);
  file("inside", sub);
  EXPECT_EQ(refusal(d_, "absent", e_, "x"), ENOENT);
  EXPECT_EQ(refusal(d_, "a", d_, "sub"), EISDIR);
  EXPECT_EQ(refusal(d_, "sub", d_, "a"), ENOTDIR);
  directory("empty", d_);
  EXPECT_EQ(refusal(d_, "empty", d_, "sub"), ENOTEMPTY);
  EXPECT_EQ(refusal(d_, ".", e_, "x"), EBUSY);
  EXPECT_EQ(refusal(d_, "a", e_, ".."), EBUSY);
  EXPECT_EQ(refusal(d_, "a", e_, "..", RenameMode::kNoReplace), EEXIST);
  EXPECT_EQ(refusal(d_, "a", d_, "sub", RenameMode::kNoReplace), EEXIST);
  EXPECT_EQ(refusal(d_, "a", d_, "a", RenameMode::kNoReplace), EEXIST);
  EXPECT_EQ(refusal(d_, "a", d_, "absent", RenameMode::kExchange), ENOENT);
  EXPECT_EQ(refusal(d_, "a", Ino{99}, "x"), ESTALE);
  EXPECT_EQ(refusal(d_, "a", d_, std::string(256, 'n')), ENAMETOOLONG);
}

TEST_F(Rename, RefusesToMoveADirectoryIntoItself) {
  const Ino sub = directory("sub", d_);
  const Ino deep = directory("deep", sub);
  EXPECT_EQ(refusal(kRootIno, "d", d_, "x"), EINVAL);
  EXPECT_EQ(refusal(kRootIno, "d", deep, "x"), EINVAL);
  EXPECT_EQ(refusal(d_, "sub", deep, "x"), EINVAL);
  EXPECT_EQ(refusal(kRootIno, "d", deep, "x", RenameMode::kNoReplace), EINVAL);
}

TEST_F(Rename, RefusesToReplaceAnAncestor) {
  const Ino sub = directory("sub", d_);
  file("a", sub);
  directory("x", sub);
  EXPECT_EQ(refusal(sub, "a", kRootIno, "d"), ENOTEMPTY);
  EXPECT_EQ(refusal(sub, "x", kRootIno, "d"), ENOTEMPTY);
  EXPECT_EQ(refusal(sub, "a", kRootIno, "d", RenameMode::kExchange), EINVAL);
}

TEST_F(Rename, OfOneFileToItsOtherNameDoesNothing) {
  const Ino a = file("a", d_);
  volume().link(a, e_, "b");
  const auto before = world_.records();
  tick();
  rename(d_, "a", e_, "b");
  rename(d_, "a", d_, "a");
  rename(d_, "a", e_, "b", RenameMode::kExchange);
  EXPECT_EQ(world_.records(), before);
}

TEST_F(Rename, ExchangesFiles) {
  const Ino a = file("a", d_);
  const Ino b = file("bbb", e_);
  const Time time = tick();
  rename(d_, "a", e_, "bbb", RenameMode::kExchange);
  EXPECT_EQ(find("a", d_), b);
  EXPECT_EQ(find("bbb", e_), a);
  EXPECT_EQ(stat(a).ctime, time);
  EXPECT_EQ(stat(b).ctime, time);
  EXPECT_EQ(stat(d_).size, 1u);
}

TEST_F(Rename, ExchangesAFileWithADirectory) {
  const Ino sub = directory("sub", d_);
  const Ino a = file("a", e_);
  rename(d_, "sub", e_, "a", RenameMode::kExchange);
  EXPECT_EQ(find("a", e_), sub);
  EXPECT_EQ(find("sub", d_), a);
  EXPECT_EQ(stat(d_).nlink, 2u);
  EXPECT_EQ(stat(e_).nlink, 3u);
  EXPECT_EQ(find("..", sub), e_);
  rename(d_, "sub", e_, "a", RenameMode::kExchange);
  EXPECT_EQ(stat(d_).nlink, 3u);
}

TEST_F(Rename, ExchangesInsideOneDirectory) {
  const Ino sub = directory("sub", d_);
  const Ino a = file("a", d_);
  rename(d_, "sub", d_, "a", RenameMode::kExchange);
  EXPECT_EQ(find("a", d_), sub);
  EXPECT_EQ(find("sub", d_), a);
  EXPECT_EQ(stat(d_).nlink, 3u);
}

TEST_F(Rename, MovesOneOfSeveralNames) {
  const Ino a = file("a", d_);
  volume().link(a, d_, "b");
  volume().link(a, e_, "c");
  world_.commit();
  rename(d_, "b", e_, "moved");
  EXPECT_THAT(names(d_), ElementsAre("a"));
  EXPECT_THAT(names(e_), ElementsAre("c", "moved"));
  EXPECT_EQ(stat(a).nlink, 3u);
}

TEST_F(Rename, IsOneOperationInTheJournal) {
  file("a", d_);
  file("b", e_);
  const std::size_t before = world_.store().records().size();
  rename(d_, "a", e_, "b");
  EXPECT_EQ(world_.store().records().size(), before + 1);
}

}  // namespace
}  // namespace varve::test
