// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/volume_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <future>
#include <optional>

#include "mountd/json.h"
#include "tests/support/fake_fuse_mount.h"
#include "tests/support/fake_repository.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using test::FakeFuseMount;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class VolumePluginTest : public ::testing::Test {
 protected:
  VolumePluginTest()
      : real_(std::filesystem::canonical(directory_.path()).string()),
        mounts_(repository_, real_ + "/store",
                [this](std::shared_ptr<Volume> volume, FuseMount::Options options) {
                  return std::make_unique<FakeFuseMount>(world_, std::move(volume), options);
                }),
        rules_(Disk::host(), real_ + "/rules.json") {
    start("boot-1");
  }

  /// A daemon that has just started; the mounts of the one before are still there.
  void start(const std::string& boot) {
    plugin_.reset();
    volumes_.reset();
    ContainerVolumes::Options options;
    options.run_directory = real_;
    options.mount_root = real_ + "/run/volumes";
    options.attachments_path = real_ + "/attachments.json";
    options.boot_id = boot;
    options.start_grace = grace_;
    options.is_mount_point = [this](const std::string&) { return !unmounted_by_others_; };
    options.is_mounted_elsewhere = [this](const std::string&) { return container_has_it_; };
    volumes_.emplace(repository_, mounts_, rules_, Disk::host(), options);
    volumes_->recover();
    plugin_.emplace(*volumes_);
  }

  HttpReply send(const std::string& call, const std::string& body) {
    HttpRequest request;
    request.method = "POST";
    request.path = call[0] == '/' ? call : "/VolumeDriver." + call;
    request.body = body;
    return plugin_->handle(request);
  }
  /// The reply of a call that succeeds.
  Json ok(const std::string& call, const Json& body = Json::object()) {
    const HttpReply reply = send(call, body.dump());
    EXPECT_EQ(reply.status, 200) << call << ": " << reply.body;
    EXPECT_EQ(reply.content_type, VolumePlugin::kContentType);
    const Json json = Json::parse(reply.body);
    EXPECT_EQ(json.value("Err", ""), "");
    return json;
  }
  /// The sentence of a call that fails with `status`.
  std::string refused(const std::string& call, const Json& body, int status = 500) {
    const HttpReply reply = send(call, body.dump());
    EXPECT_EQ(reply.status, status) << call << ": " << reply.body;
    const std::string sentence = Json::parse(reply.body).value("Err", "");
    EXPECT_NE(sentence, "");
    return sentence;
  }
  void create(const std::string& name, const OptionWords& options = {}) {
    ok("Create", {{"Name", name}, {"Opts", options}});
  }
  std::string mount(const std::string& name, const std::string& id) {
    return ok("Mount", {{"Name", name}, {"ID", id}})["Mountpoint"];
  }
  void unmount(const std::string& name, const std::string& id) {
    ok("Unmount", {{"Name", name}, {"ID", id}});
  }
  std::string point(const std::string& name) const { return real_ + "/run/volumes/" + name; }
  bool mounted(const std::string& name) const { return !mounts_.mount_point_of(name).empty(); }

  test::TempDirectory directory_;
  const std::string real_;
  std::chrono::milliseconds grace_{3'600'000};
  bool unmounted_by_others_ = false;
  bool container_has_it_ = false;
  test::FakeRepository repository_;
  FakeFuseMount::World world_;
  LiveMounts mounts_;
  VolumeRules rules_;
  std::optional<ContainerVolumes> volumes_;
  std::optional<VolumePlugin> plugin_;
};

TEST_F(VolumePluginTest, ActivatesWithAnEmptyBody) {
  const HttpReply reply = send("/Plugin.Activate", "");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Json::parse(reply.body), (Json{{"Implements", {"VolumeDriver"}}}));
  EXPECT_EQ(ok("Capabilities")["Capabilities"]["Scope"], "local");
}

TEST_F(VolumePluginTest, ListsWithAndWithoutABody) {
  EXPECT_EQ(ok("List")["Volumes"], Json::array());
  create("v");
  const Json listed = Json::parse(send("List", "").body);
  ASSERT_EQ(listed["Volumes"].size(), 1u);
  EXPECT_EQ(listed["Volumes"][0]["Name"], "v");
  EXPECT_EQ(listed["Volumes"][0]["Mountpoint"], "");
}

TEST_F(VolumePluginTest, AnUnknownVolumeIsAnError) {
  EXPECT_THAT(refused("Get", {{"Name", "v"}}), HasSubstr("no such volume"));
  EXPECT_THAT(refused("Path", {{"Name", "v"}}), HasSubstr("no such volume"));
  EXPECT_THAT(refused("Mount", {{"Name", "v"}, {"ID", "a"}}), HasSubstr("no such volume"));
  EXPECT_THAT(refused("Remove", {{"Name", "v"}}), HasSubstr("no such volume"));
  unmount("v", "a");
  // A name that only begins like a generated one is another name.
  repository_.create_volume({"", 0, {}, 0755, 0, 0});
  EXPECT_THAT(refused("Get", {{"Name", "aaaaaaaa"}}), HasSubstr("no such volume"));
}

TEST_F(VolumePluginTest, GetShowsTheStatus) {
  create("golden");
  repository_.create_snapshot("golden", "v1", {});
  create("v", {{"from", "golden@v1"}, {"label.team", "shop"}, {"backing", "local"}});
  repository_.set_used("v", 77);
  mount("v", "a");
  const Json volume = ok("Get", {{"Name", "v"}})["Volume"];
  EXPECT_EQ(volume["Mountpoint"], point("v"));
  EXPECT_EQ(volume["CreatedAt"], "1970-01-01T00:00:01Z");
  const Json status = volume["Status"];
  EXPECT_EQ(status["used_bytes"], 77);
  EXPECT_EQ(status["source_snapshot"], "v1");
  EXPECT_EQ(status["labels"], (Json{{"team", "shop"}}));
  EXPECT_EQ(status["options"], (Json{{"backing", "local"}}));
  EXPECT_EQ(status["mounts"], (Json{"a"}));
  EXPECT_EQ(status["size"], "10 GB");
}

TEST_F(VolumePluginTest, CreateComesTwiceAndRefusesOtherOptions) {
  create("v", {{"size", "5"}, {"backing", "local"}});
  create("v", {{"size", "5"}, {"backing", "local"}});
  create("v");
  EXPECT_THAT(refused("Create", {{"Name", "v"}, {"Opts", {{"size", "6"}}}}),
              HasSubstr("size=5 GB"));
  EXPECT_THAT(refused("Create", {{"Name", "v"}, {"Opts", {{"backing", "shared"}}}}),
              HasSubstr("backing=local"));
  EXPECT_THAT(refused("Create", {{"Name", "v"}, {"Opts", {{"profile", "archive"}}}}),
              HasSubstr("no option profile"));
  EXPECT_THAT(refused("Create", {{"Name", "v"}, {"Opts", {{"label.a", "b"}}}}),
              HasSubstr("label.a"));
  EXPECT_EQ(repository_.volumes().size(), 1u);
}

TEST_F(VolumePluginTest, BadOptionsMakeNoVolume) {
  refused("Create", {{"Name", "v"}, {"Opts", {{"size", "lots"}}}});
  refused("Create", {{"Name", "v"}, {"Opts", {{"what", "1"}}}});
  refused("Create", {{"Name", "v"}, {"Opts", {{"from", "nowhere"}}}});
  EXPECT_THAT(repository_.volumes(), IsEmpty());
}

TEST_F(VolumePluginTest, RulesFillTheOptionsOfNewVolumes) {
  create("golden");
  repository_.create_snapshot("golden", "v1", {});
  rules_.add({"ping3-*-vol", {{"from", "golden@v1"}, {"size", "3"}}});
  create("ping3-1-vol");
  EXPECT_EQ(repository_.volume("ping3-1-vol").row.source, "golden@v1");
  EXPECT_EQ(repository_.volume("ping3-1-vol").quota_bytes, 3'000'000'000u);
  create("other");
  EXPECT_EQ(repository_.volume("other").row.source, "");
}

TEST_F(VolumePluginTest, MountsAreCountedForEachPair) {
  create("v");
  EXPECT_EQ(mount("v", "a"), point("v"));
  EXPECT_EQ(mount("v", "a"), point("v"));  // docker cp into a running container
  EXPECT_EQ(mount("v", "b"), point("v"));
  EXPECT_EQ(ok("Path", {{"Name", "v"}})["Mountpoint"], point("v"));
  unmount("v", "a");
  unmount("v", "unknown");
  unmount("v", "b");
  EXPECT_TRUE(mounted("v"));
  unmount("v", "a");
  EXPECT_FALSE(mounted("v"));
  unmount("v", "a");
  EXPECT_EQ(ok("Path", {{"Name", "v"}})["Mountpoint"], "");
  EXPECT_FALSE(std::filesystem::exists(point("v")));
}

TEST_F(VolumePluginTest, AnExclusiveVolumeIsForOneContainer) {
  create("v", {{"backing", "local"}});
  mount("v", "first-container");
  mount("v", "first-container");
  EXPECT_THAT(refused("Mount", {{"Name", "v"}, {"ID", "second"}}),
              testing::AllOf(HasSubstr("first-contai"), HasSubstr("backing=local")));
  unmount("v", "first-container");
  refused("Mount", {{"Name", "v"}, {"ID", "second"}});
  unmount("v", "first-container");
  mount("v", "second");
}

TEST_F(VolumePluginTest, HoldersThatAreGoneDoNotCountForever) {
  grace_ = std::chrono::milliseconds(0);
  start("boot-1");
  create("v", {{"backing", "local"}});
  mount("v", "a");
  container_has_it_ = true;
  refused("Mount", {{"Name", "v"}, {"ID", "b"}});
  EXPECT_THAT(refused("Remove", {{"Name", "v"}}), HasSubstr("in use by mount a"));
  container_has_it_ = false;
  mount("v", "b");
  EXPECT_THAT(volumes_->holders("v"), ElementsAre("b"));
  ok("Remove", {{"Name", "v"}});
  EXPECT_FALSE(mounted("v"));
}

TEST_F(VolumePluginTest, AHolderThatWasSeenAndIsGoneCountsNoMore) {
  create("v", {{"backing", "local"}});
  mount("v", "a");
  refused("Mount", {{"Name", "v"}, {"ID", "b"}});  // its container may be about to start
  container_has_it_ = true;
  for (const std::int64_t begun = Attachments::now_ms(); Attachments::now_ms() < begun + 700;)
    volumes_->look_for_containers();
  refused("Mount", {{"Name", "v"}, {"ID", "b"}});
  container_has_it_ = false;
  mount("v", "b");
  EXPECT_THAT(volumes_->holders("v"), ElementsAre("b"));
}

TEST_F(VolumePluginTest, ABusyMountStaysUntilTheNextLastUse) {
  create("v");
  mount("v", "a");
  world_.set(&FakeFuseMount::World::busy, true);
  unmount("v", "a");
  EXPECT_TRUE(mounted("v"));
  mount("v", "b");
  world_.set(&FakeFuseMount::World::busy, false);
  unmount("v", "b");
  EXPECT_FALSE(mounted("v"));
}

TEST_F(VolumePluginTest, AMountThatOthersTookAwayIsNotHandedOut) {
  create("v");
  mount("v", "a");
  unmounted_by_others_ = true;
  EXPECT_THAT(refused("Mount", {{"Name", "v"}, {"ID", "b"}}), HasSubstr("by somebody else"));
}

TEST_F(VolumePluginTest, AVolumeMountedElsewhereIsRefusedWithThePlace) {
  create("v");
  std::filesystem::create_directory(real_ + "/here");
  mounts_.mount({"v", real_ + "/here", {}});
  EXPECT_THAT(refused("Mount", {{"Name", "v"}, {"ID", "a"}}), HasSubstr("/here"));
  EXPECT_THAT(refused("Remove", {{"Name", "v"}}), HasSubstr("/here"));
  EXPECT_THAT(volumes_->holders("v"), IsEmpty());
}

TEST_F(VolumePluginTest, RemoveGoesToTheTrashWithSnapshots) {
  create("v");
  repository_.create_snapshot("v", "s", {});
  ok("Remove", {{"Name", "v"}});
  ok("Remove", {{"Name", "v"}});
  EXPECT_THAT(refused("Get", {{"Name", "v"}}), HasSubstr("no such volume"));
  EXPECT_EQ(repository_.trash().size(), 1u);
  create("w", {{"protect", "true"}});
  EXPECT_THAT(refused("Remove", {{"Name", "w"}}), HasSubstr("protected"));
}

TEST_F(VolumePluginTest, SnapshotsAreTakenWhenAskedFor) {
  create("v", {{"snapshot-on", "unmount,remove"}});
  mount("v", "a");
  EXPECT_EQ(repository_.snapshots("v").size(), 0u);
  unmount("v", "a");
  ASSERT_EQ(repository_.snapshots("v").size(), 1u);
  EXPECT_EQ(repository_.snapshots("v")[0].labels.at("varve.taken-on"), "unmount");
  ok("Remove", {{"Name", "v"}});
  repository_.restore_volume("v");
  EXPECT_EQ(repository_.snapshots("v").size(), 2u);
}

TEST_F(VolumePluginTest, AnEphemeralVolumeBeginsAnew) {
  create("v", {{"ephemeral", "true"}});
  ASSERT_EQ(repository_.snapshots("v").size(), 1u);
  mount("v", "a");
  unmount("v", "a");
  // Rolled back, and what it held is not kept.
  EXPECT_EQ(repository_.snapshots("v").size(), 1u);
  ok("Remove", {{"Name", "v"}});
}

TEST_F(VolumePluginTest, CountsOutliveTheDaemonButNotTheBoot) {
  create("v");
  mount("v", "a");
  mount("v", "b");
  start("boot-1");
  EXPECT_THAT(volumes_->holders("v"), ElementsAre("a", "b"));
  unmount("v", "a");
  EXPECT_TRUE(mounted("v"));
  start("boot-2");
  EXPECT_THAT(volumes_->holders("v"), IsEmpty());
}

TEST_F(VolumePluginTest, ADaemonThatStartsMountsWhatContainersUse) {
  create("v");
  mount("v", "a");
  mounts_.unmount(point("v"), FuseMount::Busy::kRefuse);
  start("boot-1");
  EXPECT_TRUE(mounted("v"));
  unmount("v", "a");
  EXPECT_FALSE(mounted("v"));
}

TEST_F(VolumePluginTest, EachMistakeHasItsStatus) {
  for (const char* body : {"{", "[1]", "\"x\"", "7", "\xff\xfe"})
    EXPECT_EQ(send("Get", body).status, 400) << body;
  for (const Json& body :
       {Json::object(), Json{{"Name", 5}}, Json{{"Name", nullptr}}, Json{{"name", "v"}}})
    refused("Get", body, 400);
  refused("Create", {{"Name", "v"}, {"Opts", {{"size", 5}}}}, 400);
  refused("Create", {{"Name", "v"}, {"Opts", {"size"}}}, 400);
  create("v");
  refused("Mount", {{"Name", "v"}}, 400);
  refused("Mount", {{"Name", "v"}, {"ID", ""}}, 400);
  refused("Mount", {{"Name", "v"}, {"ID", std::string(513, 'a')}}, 400);
  EXPECT_EQ(send("Nothing", "{}").status, 404);
  EXPECT_EQ(send("/", "{}").status, 404);
  HttpRequest get;
  get.method = "GET";
  get.path = "/VolumeDriver.List";
  EXPECT_EQ(plugin_->handle(get).status, 405);
}

TEST_F(VolumePluginTest, HostileNamesAreRefused) {
  for (const char* name :
       {"", ".", "..", "../x", "a/b", "/etc", "a@b", "-v", "a b", "a\nb", "\xc3\xa4"})
    for (const char* call : {"Create", "Get", "Remove", "Path"}) refused(call, {{"Name", name}});
  refused("Create", {{"Name", std::string(256, 'a')}});
  create(std::string(255, 'a'));
  EXPECT_FALSE(std::filesystem::exists(real_ + "/run/x"));
}

TEST_F(VolumePluginTest, ManyCreatesAndMountsAtOnceEnd) {
  std::vector<std::future<void>> calls;
  for (int i = 0; i < 64; ++i)
    calls.push_back(std::async(std::launch::async, [this, i] {
      const std::string name = "v" + std::to_string(i % 16);
      create(name);
      mount(name, "id" + std::to_string(i));
      ok("List");
      unmount(name, "id" + std::to_string(i));
    }));
  for (auto& call : calls) call.get();
  EXPECT_EQ(repository_.volumes().size(), 16u);
  EXPECT_TRUE(mounts_.empty());
}

}  // namespace
}  // namespace varve
