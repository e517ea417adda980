// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/attachments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class AttachmentsTest : public ::testing::Test {
 protected:
  Attachments open(const std::string& boot = "boot-1") {
    return Attachments(Disk::host(), path(), boot);
  }
  std::string path() const { return directory_.path() + "/attachments.json"; }

  test::TempDirectory directory_;
};

TEST_F(AttachmentsTest, CountsEachPair) {
  Attachments attachments = open();
  attachments.add("v", "a");
  attachments.add("v", "a");
  attachments.add("v", "b");
  attachments.add("w", "a");
  EXPECT_THAT(attachments.volumes(), ElementsAre("v", "w"));
  ASSERT_EQ(attachments.holders("v").size(), 2u);
  EXPECT_EQ(attachments.holders("v")[0].count, 2u);
  EXPECT_TRUE(attachments.remove("v", "a"));
  EXPECT_EQ(attachments.holders("v").size(), 2u);
  EXPECT_TRUE(attachments.remove("v", "a"));
  EXPECT_FALSE(attachments.remove("v", "a"));
  EXPECT_FALSE(attachments.remove("x", "a"));
  EXPECT_TRUE(attachments.remove("v", "b"));
  EXPECT_THAT(attachments.holders("v"), IsEmpty());
  EXPECT_THAT(attachments.volumes(), ElementsAre("w"));
}

TEST_F(AttachmentsTest, SurvivesTheProcessButNotTheBoot) {
  {
    Attachments attachments = open();
    attachments.add("v", "a");
    attachments.add("v", "a");
  }
  EXPECT_EQ(open().holders("v").at(0).count, 2u);
  EXPECT_THAT(open("boot-2").volumes(), IsEmpty());
}

TEST_F(AttachmentsTest, ATornFileIsDropped) {
  open().add("v", "a");
  std::ofstream(path()) << R"({"boot":"boot-1","volumes":{"v":{"a":{"cou)";
  EXPECT_THAT(open().volumes(), IsEmpty());
  std::ofstream(path()) << R"({"boot":"boot-1","volumes":{"v":{"a":{"count":"x","since_ms":1}}}})";
  EXPECT_THAT(open().volumes(), IsEmpty());
}

TEST_F(AttachmentsTest, ClearForgetsAVolumeForGood) {
  {
    Attachments attachments = open();
    attachments.add("v", "a");
    attachments.add("w", "a");
    attachments.clear("v");
  }
  EXPECT_THAT(open().volumes(), ElementsAre("w"));
}

}  // namespace
}  // namespace varve
