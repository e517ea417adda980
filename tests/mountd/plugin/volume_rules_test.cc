// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/volume_rules.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "store/base/error.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

class VolumeRulesTest : public ::testing::Test {
 protected:
  VolumeRules open() { return VolumeRules(Disk::host(), path()); }
  std::string path() const { return directory_.path() + "/rules.json"; }

  static int add_error(VolumeRules& rules, const VolumeRules::Rule& rule) {
    try {
      rules.add(rule);
    } catch (const UserError& error) {
      return error.code();
    }
    return 0;
  }

  test::TempDirectory directory_;
};

TEST_F(VolumeRulesTest, TheFirstRuleThatFitsFillsWhatIsOpen) {
  VolumeRules rules = open();
  rules.add({"ping3-*-vol", {{"from", "golden"}, {"size", "5"}}});
  rules.add({"*", {{"backing", "local"}}});
  EXPECT_EQ(rules.complete("ping3-1-vol", {}), (OptionWords{{"from", "golden"}, {"size", "5"}}));
  EXPECT_EQ(rules.complete("ping3-1-vol", {{"size", "1"}}),
            (OptionWords{{"from", "golden"}, {"size", "1"}}));
  EXPECT_EQ(rules.complete("other", {}), (OptionWords{{"backing", "local"}}));
}

TEST_F(VolumeRulesTest, WordsThatSayTheSameLeaveNothingOpen) {
  VolumeRules rules = open();
  rules.add({"*", {{"from", "golden"}, {"profile", "database"}, {"squash", "7"}}});
  EXPECT_EQ(rules.complete("v", {{"snapshot", "mine"}, {"ebstype", "st1"}, {"uidmap", "0:1:1"}}),
            (OptionWords{{"snapshot", "mine"}, {"ebstype", "st1"}, {"uidmap", "0:1:1"}}));
}

TEST_F(VolumeRulesTest, RulesAreThereAfterARestart) {
  open().add({"a-?", {{"size", "5"}}});
  VolumeRules rules = open();
  ASSERT_EQ(rules.list().size(), 1u);
  EXPECT_EQ(rules.list()[0].pattern, "a-?");
  rules.remove("a-?");
  EXPECT_TRUE(open().list().empty());
  EXPECT_THROW(rules.remove("a-?"), UserError);
}

TEST_F(VolumeRulesTest, RefusesWhatMakesNoRule) {
  VolumeRules rules = open();
  rules.add({"a", {{"size", "5"}}});
  EXPECT_EQ(add_error(rules, {"a", {{"size", "6"}}}), EEXIST);
  EXPECT_EQ(add_error(rules, {"", {{"size", "6"}}}), EINVAL);
  EXPECT_EQ(add_error(rules, {"a/b", {{"size", "6"}}}), EINVAL);
  EXPECT_EQ(add_error(rules, {std::string(256, 'a'), {{"size", "6"}}}), EINVAL);
  EXPECT_EQ(add_error(rules, {"b", {}}), EINVAL);
  EXPECT_EQ(add_error(rules, {"b", {{"size", "much"}}}), EINVAL);
  EXPECT_EQ(rules.list().size(), 1u);
}

TEST_F(VolumeRulesTest, AFileThatCannotBeUnderstoodIsNamedAndKept) {
  std::ofstream(path()) << "{";
  EXPECT_THROW(open(), StoreError);
  EXPECT_TRUE(Disk::host().exists(path()));
}

}  // namespace
}  // namespace varve
