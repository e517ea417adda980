// SPDX-License-Identifier: Apache-2.0
#include "mountd/control_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "store/base/error.h"
#include "tests/support/fake_fuse_mount.h"
#include "tests/support/fake_repository.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using Json = nlohmann::json;
using test::FakeFuseMount;
using World = FakeFuseMount::World;
using Calls = std::vector<std::string>;

class ControlApiTest : public ::testing::Test {
 protected:
  ControlApiTest()
      : real_(std::filesystem::canonical(directory_.path()).string()),
        mounts_(repository_, real_ + "/store",
                [this](std::shared_ptr<Volume> volume, FuseMount::Options options) {
                  return std::make_unique<FakeFuseMount>(world_, std::move(volume), options);
                }),
        rules_(Disk::host(), real_ + "/rules.json"),
        api_(repository_, &mounts_, hooks()) {
    std::filesystem::create_directory(real_ + "/a");
    std::filesystem::create_directory(real_ + "/b");
  }

  ControlApi::Hooks hooks() {
    ControlApi::Hooks hooks;
    hooks.stop = [this] { stopped_ = true; };
    hooks.containers = [](const std::string& volume) {
      return volume == "used" ? Calls{"77e5095b0871f24f"} : Calls{};
    };
    hooks.plugin_sockets = {"/run/plugin.sock"};
    hooks.rules = &rules_;
    return hooks;
  }

  HttpReply send(const std::string& method, const std::string& target, const std::string& body) {
    HttpRequest request;
    request.method = method;
    request.body = body;
    parse_target(target, request);
    return api_.handle(request);
  }

  /// The reply's JSON; the test fails unless it is a success.
  Json ok(const std::string& method, const std::string& target, const Json& body = Json::object()) {
    const HttpReply reply = send(method, target, body.dump());
    EXPECT_EQ(reply.status, 200) << method << " " << target << ": " << reply.body;
    return Json::parse(reply.body);
  }

  /// "STATUS code" of a failure, whose sentence must contain `part`.
  std::string refused(const std::string& method, const std::string& target, const Json& body,
                      const std::string& part = "") {
    const HttpReply reply = send(method, target, body.is_null() ? "" : body.dump());
    const Json error = Json::parse(reply.body);
    const std::string sentence = error.value("error", "");
    EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
    EXPECT_FALSE(sentence.empty());
    EXPECT_GT(error.value("errno", 0), 0);
    return std::to_string(reply.status) + " " + error.value("code", "");
  }

  void create(const std::string& name) { ok("POST", "/v1/volumes", {{"name", name}}); }
  void mount(const std::string& target, const std::string& name) {
    ok("POST", "/v1/mounts", {{"target", target}, {"mount_point", real_ + name}});
  }

  test::TempDirectory directory_;
  const std::string real_;
  test::FakeRepository repository_;
  World world_;
  LiveMounts mounts_;
  bool stopped_ = false;
  VolumeRules rules_;
  ControlApi api_;
};

TEST_F(ControlApiTest, UnknownPathsAndMethodsAreJsonErrors) {
  EXPECT_EQ(refused("GET", "/", {}), "404 not_found");
  EXPECT_EQ(refused("GET", "/v2/volumes", {}), "404 not_found");
  EXPECT_EQ(refused("GET", "/v1/nothing", {}), "404 not_found");
  EXPECT_EQ(refused("GET", "/v1/volumes/", {}), "404 not_found");
  EXPECT_EQ(refused("GET", "/v1/volumes/a/b/c", {}), "404 not_found");
  EXPECT_EQ(refused("PUT", "/v1/volumes", Json::object(), "PUT"), "400 invalid");
}

TEST_F(ControlApiTest, BodiesMustBeObjects) {
  for (const char* body : {"[]", "1", "{", "null", "\"x\"", "\xff"}) {
    SCOPED_TRACE(body);
    EXPECT_EQ(send("POST", "/v1/volumes", body).status, 400);
  }
  EXPECT_EQ(repository_.volumes().size(), 0u);
}

TEST_F(ControlApiTest, FieldsOfTheWrongTypeAreNamed) {
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", 1}}, "'name'"), "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "a"}, {"size", -1}}, "'size'"), "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "a"}, {"size", "big"}}, "'big'"),
            "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "a"}, {"labels", {{"k", 1}}}}, "'labels'"),
            "400 invalid");
  EXPECT_EQ(
      refused("POST", "/v1/volumes", {{"name", "a"}, {"labels", {{"size", "1"}}}}, "reserved"),
      "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "a"}, {"mode", 010000}}, "'mode'"),
            "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "a"}, {"protect", "yes"}}, "'protect'"),
            "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", ""}}, "empty"), "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/snapshots", Json::object(), "'volume'"), "400 invalid");
}

TEST_F(ControlApiTest, AVolumeLooksAsInspectShowsIt) {
  ok("POST", "/v1/volumes", {{"name", "vol1"}, {"labels", {{"team", "web"}}}});
  const Json volume = ok("GET", "/v1/volumes/vol1");
  EXPECT_EQ(volume["Name"], "vol1");
  EXPECT_EQ(volume["Driver"], "varve");
  EXPECT_EQ(volume["Mountpoint"], "");
  EXPECT_EQ(volume["Labels"],
            Json({{"container", ""}, {"size", "10"}, {"snapshot", ""}, {"team", "web"}}));
  EXPECT_EQ(volume["Size"], 10'000'000'000u);
  EXPECT_EQ(volume["Created"].get<std::string>().back(), 'Z');
  EXPECT_EQ(volume["Protected"], false);
}

TEST_F(ControlApiTest, ContainersComeFromTheHook) {
  create("used");
  EXPECT_EQ(ok("GET", "/v1/volumes")[0]["Labels"]["container"], "77e5095b0871f24f");
}

TEST_F(ControlApiTest, SizesAreBytesOrTextAndZeroIsNoLimit) {
  EXPECT_EQ(ok("POST", "/v1/volumes", {{"name", "a"}, {"size", 4096}})["Size"], 4096u);
  EXPECT_EQ(ok("POST", "/v1/volumes", {{"name", "b"}, {"size", "2GiB"}})["Size"], 2ull << 30);
  EXPECT_EQ(ok("POST", "/v1/volumes", {{"name", "c"}, {"size", 0}})["Size"], 0u);
}

TEST_F(ControlApiTest, DuplicatesAndUnknownNamesAreConflictsAndAbsence) {
  create("a");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "a"}}, "a"), "409 exists");
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "a/b"}}), "400 invalid");
  EXPECT_EQ(refused("GET", "/v1/volumes/none", {}), "404 not_found");
  EXPECT_EQ(refused("DELETE", "/v1/volumes/none", {}), "404 not_found");
}

TEST_F(ControlApiTest, NamesInPathsAreDecoded) {
  EXPECT_EQ(refused("GET", "/v1/volumes/%2e%2e%2fetc", {}, "../etc"), "404 not_found");
  EXPECT_EQ(refused("GET", "/v1/volumes/%ff%fe", {}), "404 not_found");
}

TEST_F(ControlApiTest, ACloneKeepsTheSourcesSizeUnlessGiven) {
  ok("POST", "/v1/volumes", {{"name", "a"}, {"size", 1000}});
  ok("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "s"}});
  const Json kept = ok("POST", "/v1/volumes", {{"name", "b"}, {"source", "s"}});
  EXPECT_EQ(kept["Size"], 1000u);
  EXPECT_EQ(kept["Source"], "a@s");
  EXPECT_EQ(kept["Labels"]["snapshot"], "s");
  EXPECT_EQ(ok("POST", "/v1/volumes", {{"name", "c"}, {"source", "a@s"}, {"size", 5}})["Size"], 5u);
  EXPECT_EQ(ok("POST", "/v1/volumes", {{"name", "d"}, {"source", "a@s"}, {"size", 0}})["Size"], 0u);
}

TEST_F(ControlApiTest, ACloneOfAMountedVolumeFlushesItFirst) {
  create("a");
  mount("a", "/a");
  world_.take_calls();
  ok("POST", "/v1/volumes", {{"name", "b"}, {"source", "a"}});
  EXPECT_EQ(world_.take_calls(), Calls({"flush a"}));
}

TEST_F(ControlApiTest, ChangesTouchOnlyWhatTheyName) {
  ok("POST", "/v1/volumes", {{"name", "a"}, {"labels", {{"x", "1"}, {"y", "2"}}}});
  ok("PATCH", "/v1/volumes/a", {{"labels", {{"x", "3"}}}, {"remove_labels", {"y"}}});
  EXPECT_EQ(repository_.volume("a").row.labels, (std::map<std::string, std::string>{{"x", "3"}}));
  EXPECT_EQ(repository_.volume("a").quota_bytes, 10'000'000'000u);
  EXPECT_EQ(ok("PATCH", "/v1/volumes/a", {{"size", "20"}})["Size"], 20'000'000'000u);
  EXPECT_EQ(ok("PATCH", "/v1/volumes/a", {{"protect", true}})["Protected"], true);
  EXPECT_EQ(ok("PATCH", "/v1/volumes/a", {{"protect", false}})["Protected"], false);
}

TEST_F(ControlApiTest, ASizeBelowWhatIsHeldIsRefused) {
  create("a");
  repository_.set_used("a", 5000);
  EXPECT_EQ(refused("PATCH", "/v1/volumes/a", {{"size", 4000}}, "5 KB"), "400 invalid");
  EXPECT_EQ(repository_.volume("a").quota_bytes, 10'000'000'000u);
}

TEST_F(ControlApiTest, RemovalIsRefusedWhileMountedProtectedOrWithSnapshots) {
  create("test");
  mount("test", "/a");
  EXPECT_EQ(refused("DELETE", "/v1/volumes/test", {}, real_ + "/a"), "409 busy");
  ok("DELETE", "/v1/mounts", {{"where", "test"}});
  ok("POST", "/v1/snapshots", {{"volume", "test"}, {"name", "s"}});
  EXPECT_EQ(refused("DELETE", "/v1/volumes/test", {}, "Volume(test) has (1) snapshots"),
            "409 busy");
  ok("DELETE", "/v1/snapshots/test%40s");
  ok("PATCH", "/v1/volumes/test", {{"protect", true}});
  EXPECT_EQ(refused("DELETE", "/v1/volumes/test", {}), "409 busy");
  ok("PATCH", "/v1/volumes/test", {{"protect", false}});
  ok("DELETE", "/v1/volumes/test");
  EXPECT_TRUE(ok("GET", "/v1/volumes").empty());
}

TEST_F(ControlApiTest, TheTrashGivesBackAndIsPurged) {
  create("a");
  ok("DELETE", "/v1/volumes/a");
  const Json trash = ok("GET", "/v1/volumes?trash=1");
  ASSERT_EQ(trash.size(), 1u);
  EXPECT_EQ(trash[0]["Name"], "a");
  EXPECT_TRUE(trash[0].contains("Trashed"));
  EXPECT_EQ(ok("POST", "/v1/trash/a/restore")["Name"], "a");
  EXPECT_EQ(refused("POST", "/v1/trash/a/restore", Json::object()), "404 not_found");
  ok("DELETE", "/v1/volumes/a");
  EXPECT_EQ(ok("DELETE", "/v1/trash", {{"trashed_before_ns", 0}})["purged"], 0);
  EXPECT_EQ(ok("DELETE", "/v1/trash")["purged"], 1);
}

TEST_F(ControlApiTest, ASnapshotOfAMountedVolumeFlushesItFirstAndSaysHowItWasTaken) {
  create("a");
  EXPECT_EQ(ok("POST", "/v1/snapshots", {{"volume", "a"}})["Labels"]["varve.taken"], "offline");
  mount("a", "/a");
  world_.take_calls();
  const Json live = ok("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "s"}});
  EXPECT_EQ(world_.take_calls(), Calls({"flush a"}));
  EXPECT_EQ(live["Labels"]["varve.taken"], "live");
  EXPECT_FALSE(live.contains("Warning"));
  world_.set(&World::unreachable, true);
  EXPECT_TRUE(ok("POST", "/v1/snapshots", {{"volume", "a"}}).contains("Warning"));
}

TEST_F(ControlApiTest, ADuplicateSnapshotSaysTheKnownSentence) {
  create("a");
  ok("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "test-snap"}});
  EXPECT_EQ(refused("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "test-snap"}},
                    "A snapshot named test-snap already exists. Choose a different snapshot name"),
            "409 exists");
}

TEST_F(ControlApiTest, SnapshotsAreListedWithTheirVolumes) {
  create("a");
  create("b");
  ok("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "s"}});
  ok("POST", "/v1/snapshots", {{"volume", "b"}, {"name", "s"}});
  EXPECT_EQ(ok("GET", "/v1/snapshots").size(), 2u);
  const Json list = ok("GET", "/v1/snapshots?volume=b");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["Volume"], "b");
  EXPECT_EQ(refused("GET", "/v1/snapshots/s", {}, "@s"), "400 invalid");
  EXPECT_EQ(ok("GET", "/v1/snapshots/a@s")["Name"], "s");
}

TEST_F(ControlApiTest, AMountedSnapshotIsNotRemoved) {
  create("a");
  ok("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "s"}});
  mount("a@s", "/a");
  EXPECT_EQ(refused("DELETE", "/v1/snapshots/s", {}, real_ + "/a"), "409 busy");
  ok("DELETE", "/v1/mounts", {{"where", real_ + "/a"}});
  ok("DELETE", "/v1/snapshots/s");
}

TEST_F(ControlApiTest, ALiveRollbackFlushesThenInvalidatesThenFinishes) {
  create("a");
  ok("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "s"}});
  mount("a", "/a");
  world_.take_calls();
  EXPECT_EQ(ok("POST", "/v1/volumes/a/rollback", {{"snapshot", "s"}})["Name"], "before-rollback-s");
  EXPECT_EQ(world_.take_calls(), Calls({"flush a", "invalidate a", "finish a"}));
  EXPECT_EQ(refused("POST", "/v1/volumes/a/rollback", {{"snapshot", "none"}}), "404 not_found");
  EXPECT_EQ(world_.take_calls(), Calls({"flush a", "finish a"}));
}

TEST_F(ControlApiTest, DiffShowsBytesThatAreNotUtf8InHex) {
  create("a");
  PathChange added, renamed;
  added.what = PathChange::What::kAdded;
  added.path = "/caf\xe9";
  added.type = 0100000;
  renamed.what = PathChange::What::kRenamed;
  renamed.path = "/new\nline";
  renamed.old_path = "/old";
  renamed.type = 0040000;
  renamed.content = true;
  repository_.set_changes({added, renamed});
  const Json changes = ok("GET", "/v1/diff?before=a%40s&after=a")["changes"];
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0]["change"], "added");
  EXPECT_EQ(changes[0]["path_hex"], "2f636166e9");
  EXPECT_EQ(changes[0]["type"], "file");
  EXPECT_EQ(changes[1]["path"], "/new\nline");
  EXPECT_EQ(changes[1]["old_path"], "/old");
  EXPECT_FALSE(changes[1].contains("path_hex"));
  EXPECT_EQ(refused("GET", "/v1/diff?before=a", {}), "400 invalid");
}

TEST_F(ControlApiTest, MountsAreListedAndInStatus) {
  create("a");
  mount("a", "/a");
  EXPECT_EQ(ok("GET", "/v1/volumes/a")["Mountpoint"], real_ + "/a");
  const Json list = ok("GET", "/v1/mounts");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["target"], "a");
  EXPECT_EQ(list[0]["requests_total"], 7);
  const Json status = ok("GET", "/v1/status");
  EXPECT_EQ(status["mounts"].size(), 1u);
  EXPECT_GT(status["daemon"]["pid"].get<int>(), 0);
  EXPECT_EQ(status["read_only"], false);
}

TEST_F(ControlApiTest, MountRequestsAreChecked) {
  create("a");
  const Json relative{{"target", "a"}, {"mount_point", "a"}};
  EXPECT_EQ(refused("POST", "/v1/mounts", relative, "absolute"), "400 invalid");
  const Json bogus{{"target", "a"}, {"mount_point", real_ + "/a"}, {"options", "bogus"}};
  EXPECT_EQ(refused("POST", "/v1/mounts", bogus, "'bogus'"), "400 invalid");
  EXPECT_EQ(refused("DELETE", "/v1/mounts", {{"where", "a"}}), "404 not_found");
  EXPECT_EQ(refused("DELETE", "/v1/mounts", {{"where", "a"}, {"busy", "x"}}), "400 invalid");
}

TEST_F(ControlApiTest, DfCountsWhatIsLeft) {
  ok("POST", "/v1/volumes", {{"name", "a"}, {"size", 1000}});
  repository_.set_used("a", 400);
  const Json volume = ok("GET", "/v1/df")["volumes"][0];
  EXPECT_EQ(volume["used"], 400u);
  EXPECT_LE(volume["available"].get<std::uint64_t>(), 600u);
  EXPECT_EQ(refused("GET", "/v1/df?volume=none", {}), "404 not_found");
}

TEST_F(ControlApiTest, SyncFlushesEveryMountBeforeTheStore) {
  create("a");
  mount("a", "/a");
  world_.take_calls();
  EXPECT_EQ(ok("POST", "/v1/sync")["complete"], true);
  EXPECT_EQ(world_.take_calls(), Calls({"flush a"}));
  EXPECT_EQ(repository_.syncs(), 1);
}

TEST_F(ControlApiTest, StopIsRefusedWhileBusyAndMountsGoOnAfterwards) {
  create("a");
  mount("a", "/a");
  world_.set(&World::busy, true);
  EXPECT_EQ(refused("POST", "/v1/stop", Json::object()), "409 busy");
  EXPECT_FALSE(stopped_);
  create("b");
  mount("b", "/b");
  ok("POST", "/v1/stop", {{"busy", "detach"}});
  EXPECT_TRUE(stopped_);
  EXPECT_EQ(refused("POST", "/v1/mounts", {{"target", "a"}, {"mount_point", real_ + "/a"}}),
            "409 busy");
}

TEST_F(ControlApiTest, WithoutADaemonThereAreNoMountsAndNothingToStop) {
  ControlApi alone(repository_, nullptr);
  HttpRequest request;
  request.method = "POST";
  request.path = "/v1/stop";
  EXPECT_EQ(alone.handle(request).status, 404);
  request.path = "/v1/sync";
  EXPECT_EQ(alone.handle(request).status, 200);
  request.method = "GET";
  request.path = "/v1/mounts";
  EXPECT_EQ(alone.handle(request).body, "[]");
}

TEST_F(ControlApiTest, AnUpgradeIsRefusedWhereMountsWouldEnd) {
  create("a");
  mount("a", "/a");
  const Json status = ok("GET", "/v1/status");
  EXPECT_TRUE(status["keeper"].is_null());
  EXPECT_EQ(status["mounts"][0]["kept"], false);
  EXPECT_EQ(status["mounts"][0]["why_not_kept"], "the daemon was started without a keeper");
  const Json request{{"program", "/nonexistent/varve"}};
  EXPECT_EQ(refused("POST", "/v1/upgrade", request), "404 not_found") << "not a daemon's";

  std::string next;
  const Keeper keeper(KeeperHello{});
  ControlApi::Hooks with_keeper = hooks();
  with_keeper.upgrade = [&](const std::string& program) { next = program; };
  const auto upgrade = [&](const Json& body) {
    ControlApi api(repository_, &mounts_, with_keeper);
    HttpRequest post;
    post.method = "POST";
    post.path = "/v1/upgrade";
    post.body = body.dump();
    const Json reply = Json::parse(api.handle(post).body);
    return reply.value("code", "") + ": " + reply.value("error", "");
  };
  EXPECT_THAT(upgrade(request), ::testing::HasSubstr("has no keeper"));
  with_keeper.keeper = &keeper;
  EXPECT_THAT(upgrade(request), ::testing::AllOf(::testing::StartsWith("busy: a at "),
                                                 ::testing::HasSubstr("unmount it first")));
  ok("DELETE", "/v1/mounts", {{"where", "a"}});
  EXPECT_THAT(upgrade(request), ::testing::StartsWith("not_found: there is no program"));
  EXPECT_THAT(upgrade({{"program", "varve"}}), ::testing::StartsWith("invalid: "));
  EXPECT_THAT(upgrade({{"program", "/etc/passwd"}}),
              ::testing::StartsWith("permission_denied: /etc/passwd cannot be executed"));
  EXPECT_THAT(upgrade({{"program", "/bin/true"}}),
              ::testing::StartsWith("invalid: /bin/true is no varve program"));
  EXPECT_EQ(next, "");
  upgrade({{"program", VARVE_PROGRAM}});
  EXPECT_EQ(next, VARVE_PROGRAM);
}

TEST_F(ControlApiTest, ScrubsInTheBackground) {
  EXPECT_EQ(ok("GET", "/v1/scrub")["state"], "never");
  const Json begun = ok("POST", "/v1/scrub", {{"rate", "5MB"}});
  EXPECT_EQ(begun["state"], "running");
  EXPECT_EQ(begun["rate"], 5'000'000);
  EXPECT_EQ(refused("POST", "/v1/scrub", {{"rate", "fast"}}, "fast"), "400 invalid");
  EXPECT_EQ(ok("DELETE", "/v1/scrub")["state"], "interrupted");
  EXPECT_FALSE(ok("GET", "/v1/scrub").contains("files"));
}

TEST_F(ControlApiTest, NamesDamagedFiles) {
  ScrubProgress progress;
  progress.ever_run = true;
  progress.state.finished = true;
  progress.state.unrepaired = 1;
  progress.findings.push_back({FileFinding::Part::kSuperblock, "slot 0", true});
  repository_.set_scrub(progress);
  DamagedFile file;
  file.volume = "a";
  file.path = "/x\xff";
  file.ino = Ino{7};
  file.in_present = true;
  file.snapshots = {"s"};
  file.ranges = {{131072, 4096}};
  repository_.set_damaged_files({file});
  const Json scrub = ok("GET", "/v1/scrub?files=1");
  EXPECT_EQ(scrub["state"], "finished");
  EXPECT_EQ(scrub["percent"], 100);
  EXPECT_EQ(scrub["unrepaired"], 1);
  EXPECT_EQ(scrub["findings"][0]["part"], "superblock");
  EXPECT_EQ(scrub["findings"][0]["mended"], true);
  const Json& named = scrub["files"][0];
  EXPECT_EQ(named["volume"], "a");
  EXPECT_EQ(named["path_hex"], "2f78ff");
  EXPECT_EQ(named["inode"], 7);
  EXPECT_EQ(named["damage"], "content");
  EXPECT_EQ(named["snapshots"], Json::array({"s"}));
  EXPECT_EQ(named["ranges"][0]["offset"], 131072);
  EXPECT_EQ(named["ranges"][0]["size"], 4096);
}

TEST_F(ControlApiTest, SaysWhatARemovalWouldFree) {
  create("a");
  ok("POST", "/v1/snapshots", {{"volume", "a"}, {"name", "s"}});
  const Json space = ok("POST", "/v1/removal-space", {{"snapshots", {"a@s"}}});
  EXPECT_EQ(space["bytes"], 4096);
  EXPECT_EQ(space["objects"], 1);
  EXPECT_EQ(space["kept"], 0);
  EXPECT_EQ(ok("GET", "/v1/snapshots").size(), 1u);
  EXPECT_EQ(refused("POST", "/v1/removal-space", Json::object(), "'snapshots'"), "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/removal-space", {{"snapshots", {1}}}, "'snapshots'"),
            "400 invalid");
  EXPECT_EQ(refused("POST", "/v1/removal-space", {{"snapshots", {"a@none"}}}), "404 not_found");
}

TEST_F(ControlApiTest, OptionsOfAVolumeAreKeptAndShown) {
  const Json made = ok("POST", "/v1/volumes",
                       {{"name", "v"},
                        {"options", {{"backing", "local"}, {"size", "3"}, {"label.a", "b"}}},
                        {"labels", {{"c", "d"}}}});
  EXPECT_EQ(made["Options"], (Json{{"backing", "local"}}));
  EXPECT_EQ(made["Size"], 3'000'000'000);
  EXPECT_EQ(made["Labels"]["a"], "b");
  EXPECT_EQ(made["Labels"]["c"], "d");
  EXPECT_FALSE(made["Labels"].contains("varve.backing"));
  EXPECT_EQ(refused("POST", "/v1/volumes", {{"name", "w"}, {"options", {{"x", "y"}}}}, "'x'"),
            "400 invalid");
  EXPECT_EQ(
      refused("PATCH", "/v1/volumes/v", {{"labels", {{"varve.backing", "shared"}}}}, "reserved"),
      "400 invalid");
  EXPECT_EQ(repository_.volumes().size(), 1u);
}

TEST_F(ControlApiTest, RulesFillNewVolumesOptions) {
  ok("POST", "/v1/rules", {{"pattern", "ci-*"}, {"options", {{"size", "2"}}}});
  EXPECT_EQ(ok("GET", "/v1/rules"), (Json{{{"Pattern", "ci-*"}, {"Options", {{"size", "2"}}}}}));
  EXPECT_EQ(ok("POST", "/v1/volumes", {{"name", "ci-1"}})["Size"], 2'000'000'000);
  EXPECT_EQ(ok("POST", "/v1/volumes", {{"name", "ci-2"}, {"size", "7GB"}})["Size"], 7'000'000'000);
  EXPECT_EQ(
      refused("POST", "/v1/rules", {{"pattern", "ci-*"}, {"options", {{"size", "2"}}}}, "ci-*"),
      "409 exists");
  ok("DELETE", "/v1/rules", {{"pattern", "ci-*"}});
  EXPECT_EQ(refused("DELETE", "/v1/rules", {{"pattern", "ci-*"}}, "ci-*"), "404 not_found");
  EXPECT_EQ(ok("GET", "/v1/status")["plugin"]["sockets"], (Json{"/run/plugin.sock"}));
}

TEST_F(ControlApiTest, WhatContainersUseIsNotTakenAway) {
  create("used");
  mount("used", "/a");
  EXPECT_EQ(refused("DELETE", "/v1/mounts", {{"where", real_ + "/a"}}, "77e5095b0871"), "409 busy");
  EXPECT_EQ(refused("POST", "/v1/stop", Json::object(), "77e5095b0871"), "409 busy");
  EXPECT_FALSE(stopped_);
  ok("DELETE", "/v1/mounts", {{"where", real_ + "/a"}, {"busy", "detach"}});
}

}  // namespace
}  // namespace varve
