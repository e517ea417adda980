// SPDX-License-Identifier: Apache-2.0
#include "mountd/keeper/keeper_texts.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

KeptMount a_mount() {
  KeptMount mount;
  mount.target = "data@monday";
  mount.mount_point = "/srv/\xff with \"quotes\"\n";
  mount.options = "ro,fsname=x";
  mount.read_only = mount.detached = true;
  mount.mounted_ns = 1'700'000'000'123'456'789;
  mount.volume_id = ~0ull;
  mount.since_lsn = 1ull << 60;
  mount.device = 77;
  mount.agreement.request = {std::byte{0}, std::byte{0xff}, std::byte{0x10}};
  mount.agreement.reply = {std::byte{1}};
  return mount;
}

TEST(KeptMount, IsTheSameAfterItsText) {
  const KeptMount mount = a_mount();
  const KeptMount same = KeptMount::parse(mount.text());
  EXPECT_EQ(same.target, mount.target);
  EXPECT_EQ(same.mount_point, mount.mount_point);
  EXPECT_EQ(same.options, mount.options);
  EXPECT_EQ(same.read_only, mount.read_only);
  EXPECT_EQ(same.detached, mount.detached);
  EXPECT_EQ(same.mounted_ns, mount.mounted_ns);
  EXPECT_EQ(same.volume_id, mount.volume_id);
  EXPECT_EQ(same.since_lsn, mount.since_lsn);
  EXPECT_EQ(same.device, mount.device);
  EXPECT_EQ(same.agreement.request, mount.agreement.request);
  EXPECT_EQ(same.agreement.reply, mount.agreement.reply);
}

TEST(KeeperHello, IsTheSameAfterItsText) {
  const KeeperHello same =
      KeeperHello::parse(KeeperHello{"/var/lib/varve", {"daemon", "run", ""}, 12, true}.text());
  EXPECT_EQ(same.store, "/var/lib/varve");
  EXPECT_EQ(same.arguments, (std::vector<std::string>{"daemon", "run", ""}));
  EXPECT_EQ(same.takeovers, 12u);
  EXPECT_TRUE(same.always);
}

TEST(KeeperWelcome, IsTheSameAfterItsText) {
  KeeperWelcome welcome;
  welcome.pid = 5;
  welcome.takeovers = 6;
  welcome.since_ns = 7;
  welcome.upgrade = true;
  welcome.failure = "a sentence";
  const KeeperWelcome same = KeeperWelcome::parse(welcome.text());
  EXPECT_EQ(same.pid, 5);
  EXPECT_EQ(same.takeovers, 6u);
  EXPECT_EQ(same.since_ns, 7);
  EXPECT_TRUE(same.upgrade);
  EXPECT_EQ(same.failure, "a sentence");
}

TEST(KeeperTexts, FieldsOfALaterVersionAreIgnored) {
  std::string text = a_mount().text();
  text.insert(1, R"("later":[1,2],)");
  EXPECT_EQ(KeptMount::parse(text).target, "data@monday");
}

TEST(KeeperTexts, WhatIsNoTextIsRefused) {
  std::string odd = a_mount().text();
  odd.replace(odd.find("\"00ff10\""), 8, "\"00ff1\"");
  std::string letters = a_mount().text();
  letters.replace(letters.find("\"00ff10\""), 8, "\"00ffgg\"");
  std::string number = a_mount().text();
  number.replace(number.find("\"device\":77"), 11, "\"device\":{}");
  for (const std::string& text : {std::string(), std::string("{"), std::string("[]"),
                                  std::string("{}"), odd, letters, number}) {
    try {
      KeptMount::parse(text);
      ADD_FAILURE() << text;
    } catch (const StoreError& error) {
      EXPECT_EQ(error.code(), EPROTO) << text;
    }
  }
}

}  // namespace
}  // namespace varve
