// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/volume_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

using testing::HasSubstr;

/// The sentence with which the words are refused; empty if they are not.
std::string option_refusal(const OptionWords& words) {
  try {
    parse_volume_options(words);
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), EINVAL);
    return error.what();
  }
  return "";
}

TEST(VolumeOptionsTest, NothingGivenIsAPlainSharedVolume) {
  const VolumeOptions options = parse_volume_options({});
  EXPECT_FALSE(options.exclusive);
  EXPECT_EQ(options.profile, Profile::kGeneral);
  EXPECT_FALSE(options.size_bytes || options.source || options.mode || options.uid || options.gid);
  EXPECT_TRUE(options.ids.empty() && options.words.empty());
}

TEST(VolumeOptionsTest, AllWordsAreUnderstood) {
  const VolumeOptions options = parse_volume_options({{"size", "25"},
                                                      {"from", "golden@v1"},
                                                      {"backing", "relocatable"},
                                                      {"profile", "database"},
                                                      {"uid", "999"},
                                                      {"gid", "998"},
                                                      {"mode", "2770"},
                                                      {"uidmap", "0:100000:65536"},
                                                      {"gidmap", "0:100000:65536"},
                                                      {"label.team", "shop"},
                                                      {"protect", ""},
                                                      {"snapshot-on", "unmount,remove"}});
  EXPECT_EQ(options.size_bytes, 25'000'000'000u);
  EXPECT_EQ(options.source, "golden@v1");
  EXPECT_TRUE(options.exclusive && options.protect);
  EXPECT_EQ(options.profile, Profile::kDatabase);
  EXPECT_EQ(options.uid, 999u);
  EXPECT_EQ(options.gid, 998u);
  EXPECT_EQ(options.mode, 02770u);
  EXPECT_EQ(options.ids.users.shown(1), 100001u);
  EXPECT_EQ(options.labels.at("team"), "shop");
  EXPECT_TRUE(options.snapshot_on_unmount && options.snapshot_on_remove);
}

TEST(VolumeOptionsTest, CloudstorsNamesChooseAProfile) {
  EXPECT_EQ(
      parse_volume_options({{"ebstype", "io1"}, {"iops", "1000"}, {"backing", "local"}}).profile,
      Profile::kDatabase);
  EXPECT_EQ(parse_volume_options({{"ebstype", "st1"}}).profile, Profile::kArchive);
  EXPECT_EQ(parse_volume_options({{"perfmode", "maxio"}, {"backing", "shared"}}).profile,
            Profile::kGeneral);
}

TEST(VolumeOptionsTest, WhatActsAtEachUseIsKeptAsLabels) {
  const VolumeOptions given = parse_volume_options({{"backing", "local"},
                                                    {"squash", "1000"},
                                                    {"size", "1"},
                                                    {"from", "x"},
                                                    {"readonly", "yes"}});
  const auto labels = option_labels(given);
  EXPECT_EQ(labels,
            (OptionWords{
                {"varve.backing", "local"}, {"varve.squash", "1000"}, {"varve.readonly", "true"}}));
  auto all = labels;
  all["team"] = "shop";
  all["varve.of-a-later-version"] = "1";
  const VolumeOptions kept = kept_options(all);
  EXPECT_TRUE(kept.exclusive && kept.read_only);
  EXPECT_EQ(kept.ids, given.ids);
}

TEST(VolumeOptionsTest, UnknownWordsAreNamedWithTheKnownOnes) {
  const std::string sentence = option_refusal({{"siez", "5"}});
  EXPECT_THAT(sentence, HasSubstr("'siez'"));
  EXPECT_THAT(sentence, HasSubstr("snapshot-on"));
  EXPECT_NE(option_refusal({{"Size", "5"}}), "");
  EXPECT_NE(option_refusal({{"", "5"}}), "");
  EXPECT_NE(option_refusal({{"label.", "5"}}), "");
}

TEST(VolumeOptionsTest, ValuesThatDoNotParseAreShown) {
  const std::pair<const char*, const char*> kBad[]{
      {"size", "many"},      {"size", "-1"},
      {"size", ""},          {"backing", "cloud"},
      {"profile", "fast"},   {"ebstype", "xl9"},
      {"perfmode", "turbo"}, {"mode", "9"},
      {"mode", "17777"},     {"uid", "root"},
      {"uid", "-1"},         {"gid", "4294967295"},
      {"uidmap", "0"},       {"gidmap", "0:1:0"},
      {"squash", "a"},       {"protect", "maybe"},
      {"ephemeral", "2"},    {"readonly", "ro"},
      {"from", ""},          {"snapshot-on", "start"},
      {"label.size", "5"},   {"label.varve.backing", "x"}};
  for (const auto& [word, value] : kBad)
    EXPECT_NE(option_refusal({{word, value}}), "") << word << "=" << value;
}

TEST(VolumeOptionsTest, WordsThatExcludeEachOtherAreRefused) {
  const OptionWords kConflicts[]{
      {{"from", "a"}, {"snapshot", "b"}},
      {{"profile", "archive"}, {"ebstype", "io2"}},
      {{"iops", "100"}},
      {{"iops", "100"}, {"ebstype", "gp2"}},
      {{"ebstype", "io1"}},
      {{"perfmode", "maxio"}},
      {{"ebstype", "gp2"}, {"backing", "shared"}},
      {{"squash", "1"}, {"uidmap", "0:1:1"}},
      {{"ephemeral", "true"}, {"snapshot-on", "remove"}},
      {{"ephemeral", "true"}, {"readonly", "true"}},
      {{"readonly", "true"}, {"snapshot-on", "unmount"}},
  };
  for (const OptionWords& words : kConflicts)
    EXPECT_NE(option_refusal(words), "") << words.begin()->first;
  EXPECT_EQ(option_refusal({{"from", "a"}, {"snapshot", "a"}}), "");
  EXPECT_EQ(option_refusal({{"ephemeral", "false"}, {"readonly", "true"}}), "");
}

TEST(VolumeOptionsTest, KeptWordsCanBeChanged) {
  std::map<std::string, std::string> labels = option_labels(parse_volume_options(
      {{"backing", "local"}, {"ebstype", "io1"}, {"iops", "5"}, {"uid", "7"}, {"squash", "1"}}));
  labels["team"] = "shop";
  const auto changed = with_options(
      labels, {{"backing", "shared"}, {"squash", ""}, {"uidmap", "0:5:1"}, {"readonly", "true"}});
  EXPECT_EQ(changed.at("team"), "shop");
  EXPECT_EQ(changed.at("varve.uid"), "7");
  EXPECT_EQ(changed.at("varve.profile"), "database");
  const VolumeOptions options = kept_options(changed);
  EXPECT_FALSE(options.exclusive || options.ids.squash);
  EXPECT_TRUE(options.read_only);
  EXPECT_EQ(options.ids.users.shown(0), 5u);
  EXPECT_FALSE(kept_options(with_options(changed, {{"readonly", "false"}})).read_only);
  for (const OptionWords& refused :
       {OptionWords{{"size", "5"}}, OptionWords{{"ephemeral", "true"}}, OptionWords{{"what", "5"}},
        OptionWords{{"squash", "1"}}, OptionWords{{"snapshot-on", "unmount"}}})
    EXPECT_THROW(with_options(changed, refused), UserError) << refused.begin()->first;
}

}  // namespace
}  // namespace varve
