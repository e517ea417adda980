// SPDX-License-Identifier: Apache-2.0
#include "fs/requests.h"

#include <gtest/gtest.h>

#include "tests/support/repository_world.h"

namespace varve::test {
namespace {

constexpr RequestId kFirst{0x1000};
constexpr RequestId kSecond{0x1002};

TEST(Requests, KeepTheJournalFromTheOldestThatIsUnanswered) {
  Requests requests;
  EXPECT_FALSE(requests.oldest_lsn());
  requests.applied(kFirst, 100);
  requests.applied(kSecond, 200);
  EXPECT_EQ(requests.oldest_lsn(), 100u);
  requests.answered(kFirst);
  EXPECT_EQ(requests.oldest_lsn(), 200u);
  requests.answered(kSecond);
  EXPECT_FALSE(requests.oldest_lsn());
}

TEST(Requests, WithoutANumberAreNotKept) {
  Requests requests;
  requests.applied(kNoRequest, 100);
  EXPECT_FALSE(requests.oldest_lsn());
}

TEST(Requests, OfAnEarlierProcessAreKnownUntilTheEndOfTheResume) {
  Requests requests;
  requests.resume({{kFirst, 50, Ino{7}}, {kSecond, 40, kHeadIno}, {kFirst, 60, Ino{8}}});
  EXPECT_EQ(requests.oldest_lsn(), 40u);
  ASSERT_TRUE(requests.earlier(kFirst));
  EXPECT_EQ(requests.earlier(kFirst)->made, Ino{7});
  EXPECT_FALSE(requests.earlier(RequestId{1}));
  requests.end_resume();
  EXPECT_FALSE(requests.earlier(kFirst));
  EXPECT_FALSE(requests.oldest_lsn());
}

TEST(RequestScope, IsOfItsThreadAndEnds) {
  EXPECT_EQ(RequestScope::current(), kNoRequest);
  {
    const RequestScope scope(kFirst);
    EXPECT_EQ(RequestScope::current(), kFirst);
  }
  EXPECT_EQ(RequestScope::current(), kNoRequest);
}

/// A volume whose process dies while the kernel keeps its mount.
class ResumeTest : public testing::Test {
 protected:
  ResumeTest() {
    Repository::CreateVolume creation;
    creation.name = "v";
    id_ = world_->create_volume(creation).row.id;
    world_->commit();
    since_ = world_->store().journal().end();
    volume_ = world_->attach("v");
  }
  ~ResumeTest() override { volume_.reset(); }

  /// The process dies, another one takes over.
  void take_over() {
    RepositoryOptions options = RepositoryWorld::default_options();
    options.resumed.emplace().emplace(id_, since_);
    world_.crash_into(options, [&] { volume_.reset(); });
    volume_ = world_->resume("v");
  }
  Ino make(const char* name, RequestId id) {
    const RequestScope scope(id);
    return volume_->make_node(kRootIno, name, S_IFREG | 0644, 0, {}).ino;
  }
  bool exists(const char* name) { return volume_->lookup(kRootIno, name).has_value(); }

  RepositoryWorld world_;
  VolumeId id_{};
  Lsn since_ = 0;
  std::shared_ptr<Volume> volume_;
};

TEST_F(ResumeTest, ARequestThatWasAppliedIsKnownWithWhatItMade) {
  const Ino made = make("a", kFirst);
  take_over();
  const auto found = volume_->applied_before(kFirst);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->made, made);
  EXPECT_FALSE(volume_->applied_before(kSecond));
  EXPECT_TRUE(exists("a"));
}

TEST_F(ResumeTest, EveryKindOfChangeIsKnown) {
  const Ino ino = make("a", RequestId{2});
  const auto with = [&](std::uint64_t id, const std::function<void()>& change) {
    const RequestScope scope(RequestId{id});
    change();
  };
  with(4, [&] { volume_->write(ino, 0, as_bytes("hello"), false); });
  with(6, [&] { volume_->rename(kRootIno, "a", kRootIno, "b", RenameMode::kReplace); });
  with(8, [&] { volume_->link(ino, kRootIno, "c"); });
  with(10, [&] { volume_->unlink(kRootIno, "c"); });
  with(12, [&] { volume_->set_xattr(ino, "user.k", as_bytes("v"), XattrMode::kCreate, false); });
  SetAttributes mode;
  mode.mode = 0600;
  with(14, [&] { volume_->setattr(ino, mode, {}); });
  Ino temporary{}, directory{};
  with(16, [&] { temporary = volume_->make_temporary(kRootIno, 0600, {}).ino; });
  with(18, [&] { directory = volume_->make_directory(kRootIno, "d", 0755, {}).ino; });
  with(20, [&] { volume_->allocate(ino, AllocateMode::kExtend, 0, 9000); });
  with(22, [&] { volume_->rmdir(kRootIno, "d"); });
  take_over();
  for (std::uint64_t id = 2; id <= 22; id += 2)
    EXPECT_TRUE(volume_->applied_before(RequestId{id})) << id;
  EXPECT_EQ(volume_->applied_before(RequestId{8})->made, ino);
  EXPECT_EQ(volume_->applied_before(RequestId{16})->made, temporary);
  EXPECT_EQ(volume_->applied_before(RequestId{18})->made, directory);
}

TEST_F(ResumeTest, WhatFailedOrChangedNothingIsServedAgain) {
  make("a", kFirst);
  EXPECT_EQ(failure_of([&] { make("a", kSecond); }).first, EEXIST);
  take_over();
  EXPECT_FALSE(volume_->applied_before(kSecond));
}

TEST_F(ResumeTest, AnUnansweredRequestOutlivesItsCommit) {
  make("a", kFirst);
  world_->commit();
  take_over();
  EXPECT_TRUE(volume_->applied_before(kFirst));
}

TEST_F(ResumeTest, AnAnsweredRequestIsForgottenWithItsCommit) {
  make("a", kFirst);
  volume_->answered(kFirst);
  world_->commit();
  take_over();
  EXPECT_FALSE(volume_->applied_before(kFirst));
  EXPECT_TRUE(exists("a"));
}

TEST_F(ResumeTest, ASecondDeathBeforeTheAnswerChangesNothing) {
  const Ino made = make("a", kFirst);
  take_over();
  world_->commit();
  take_over();
  ASSERT_TRUE(volume_->applied_before(kFirst));
  EXPECT_EQ(volume_->applied_before(kFirst)->made, made);
  volume_->end_resume();
  make("b", kSecond);
  volume_->answered(kSecond);
  world_->commit();
  take_over();
  EXPECT_FALSE(volume_->applied_before(kFirst));
}

TEST_F(ResumeTest, NumbersOfAnEarlierMountAreNotTaken) {
  make("a", kFirst);
  since_ = world_->store().journal().end();
  make("b", kSecond);
  take_over();
  EXPECT_FALSE(volume_->applied_before(kFirst));
  EXPECT_TRUE(volume_->applied_before(kSecond));
}

TEST_F(ResumeTest, TheOpeningCommitsNothing) {
  make("a", kFirst);
  const Csn before = world_->figures().csn;
  take_over();
  EXPECT_EQ(world_->figures().csn, before);
  EXPECT_TRUE(exists("a"));
  world_->commit();
  EXPECT_GT(world_->figures().csn, before);
  EXPECT_TRUE(exists("a"));
}

TEST_F(ResumeTest, VolumesThatNobodyResumesLetTheJournalGo) {
  make("a", kFirst);
  RepositoryOptions options = RepositoryWorld::default_options();
  options.resumed.emplace().emplace(id_, since_);
  world_.crash_into(options, [&] { volume_.reset(); });
  world_->end_resume();
  world_->commit();
  volume_ = world_->attach("v");
  EXPECT_FALSE(volume_->applied_before(kFirst));
  EXPECT_TRUE(exists("a"));
}

TEST_F(ResumeTest, AnOpenFileWithoutANameLivesUntilItIsForgotten) {
  const Ino ino = make("a", kFirst);
  volume_->write(ino, 0, as_bytes("kept"), false);
  volume_->unlink(kRootIno, "a");
  take_over();
  world_.settle();
  Bytes out(4);
  EXPECT_EQ(volume_->read(ino, 0, out), 4u);
  EXPECT_EQ(as_text(out), "kept");
  volume_->forget(ino, 1);
  world_.settle();
  EXPECT_EQ(failure_of([&] { volume_->getattr(ino); }).first, ESTALE);
}

TEST_F(ResumeTest, SnapshotsTakenBeforeTheDeathAreThere) {
  make("a", kFirst);
  world_->create_snapshot("v", "s", {});
  make("b", kSecond);
  take_over();
  EXPECT_EQ(world_->snapshots("v").size(), 1u);
  world_->commit();
  const auto snapshot = world_->attach_snapshot("v@s");
  EXPECT_TRUE(snapshot->lookup(kRootIno, "a"));
  EXPECT_FALSE(snapshot->lookup(kRootIno, "b"));
  EXPECT_TRUE(exists("b"));
}

}  // namespace
}  // namespace varve::test
