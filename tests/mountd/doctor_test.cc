// SPDX-License-Identifier: Apache-2.0
#include "mountd/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "mountd/http_server.h"
#include "mountd/unix_socket.h"
#include "tests/support/temp_directory.h"

namespace varve {
namespace {

using testing::HasSubstr;

class DoctorTest : public ::testing::Test {
 protected:
  DoctorTest() {
    places_.root = directory_.path();
    places_.kernel_release = "6.12.1";
    places_.is_root = true;
    places_.store = directory_.path() + "/store";
    for (const char* path : {"/dev", "/run/docker/plugins", "/etc/containers/containers.conf.d",
                             "/usr/bin", "/sys/module/fuse/parameters"})
      std::filesystem::create_directories(directory_.path() + path);
    write("/dev/fuse", "");
  }
  void write(const std::string& path, const std::string& text) {
    std::ofstream(directory_.path() + path) << text;
  }
  /// "level: what (remedy)" of the one finding that has `part`.
  std::string finding(const std::string& part) {
    std::string found;
    for (const Finding& each : examine_host(places_)) {
      EXPECT_EQ(each.remedy.empty(), each.level == Finding::Level::kGood) << each.what;
      if (each.what.find(part) == std::string::npos) continue;
      EXPECT_EQ(found, "");
      found = (each.level == Finding::Level::kGood   ? "good: "
               : each.level == Finding::Level::kNote ? "note: "
                                                     : "problem: ") +
              each.what + " (" + each.remedy + ")";
    }
    return found;
  }

  test::TempDirectory directory_;
  DoctorPlaces places_;
};

TEST_F(DoctorTest, TheKernelDecidesWhetherMountsOutliveTheDaemon) {
  EXPECT_THAT(finding("Linux"), HasSubstr("good:"));
  places_.kernel_release = "6.8.0-generic";
  EXPECT_THAT(finding("Linux"), testing::AllOf(HasSubstr("note:"), HasSubstr("6.9")));
  places_.kernel_release = "4.19.0";
  EXPECT_THAT(finding("Linux"), HasSubstr("problem:"));
  places_.kernel_release = "strange";
  EXPECT_THAT(finding("strange"), HasSubstr("note:"));
}

TEST_F(DoctorTest, AMissingDeviceIsAProblem) {
  EXPECT_THAT(finding("/dev/fuse"), HasSubstr("good:"));
  std::filesystem::remove(directory_.path() + "/dev/fuse");
  EXPECT_THAT(finding("/dev/fuse"),
              testing::AllOf(HasSubstr("problem:"), HasSubstr("modprobe fuse")));
}

TEST_F(DoctorTest, UringIsOnOffOrMissing) {
  EXPECT_THAT(finding("io_uring"), HasSubstr("has no FUSE"));
  write("/sys/module/fuse/parameters/enable_uring", "N\n");
  EXPECT_THAT(finding("io_uring"), HasSubstr("is off"));
  write("/sys/module/fuse/parameters/enable_uring", "Y\n");
  EXPECT_THAT(finding("io_uring"), HasSubstr("is on"));
}

TEST_F(DoctorTest, OrdinaryUsersNeedFusermountAndAllowOther) {
  places_.is_root = false;
  EXPECT_THAT(finding("fusermount3"), HasSubstr("problem:"));
  EXPECT_THAT(finding("cannot enter"), HasSubstr("note:"));
  places_.fusermount = "/usr/bin/fusermount3";
  write("/etc/fuse.conf", "#user_allow_other\n");
  EXPECT_EQ(finding("fusermount3"), "");
  EXPECT_THAT(finding("cannot enter"), HasSubstr("note:"));
  write("/etc/fuse.conf", "user_allow_other\n");
  EXPECT_EQ(finding("cannot enter"), "");
}

TEST_F(DoctorTest, ThePluginMustAnswerWhereDockerIs) {
  EXPECT_THAT(finding("plugin does not run"), HasSubstr("note:"));
  write("/run/docker.sock", "");
  EXPECT_THAT(finding("plugin does not run"), HasSubstr("problem:"));
  const std::string socket = directory_.path() + "/run/docker/plugins/varve.sock";
  {
    const HttpServer serving({HttpEndpoint{socket, [](const HttpRequest& request) {
                                             EXPECT_EQ(request.path, "/Plugin.Activate");
                                             return HttpReply{};
                                           }}});
    EXPECT_THAT(finding("plugin answers"), HasSubstr("good:"));
  }
  {
    const HttpServer refusing({HttpEndpoint{
        socket, [](const HttpRequest&) {
          return HttpReply{500, "application/json", R"({"Err":"the disk is on fire"})"};
        }}});
    EXPECT_THAT(finding("on fire"), HasSubstr("problem:"));
  }
  {
    const Descriptor silent = listen_unix(socket, 0600);
    places_.answer_wait_ms = 50;
    EXPECT_THAT(finding("does not answer"), HasSubstr("problem:"));
  }
  EXPECT_THAT(finding("nobody answers"), HasSubstr("problem:"));
}

TEST_F(DoctorTest, PodmanMustKnowThePlugin) {
  EXPECT_EQ(finding("Podman"), "");
  write("/usr/bin/podman", "");
  EXPECT_THAT(finding("Podman"), testing::AllOf(HasSubstr("note:"), HasSubstr("volume_plugins")));
  write("/etc/containers/containers.conf.d/varve.conf",
        "[engine.volume_plugins]\nvarve = \"/run/docker/plugins/varve.sock\"\n");
  EXPECT_THAT(finding("Podman"), HasSubstr("good:"));
}

TEST_F(DoctorTest, AMissingStoreOrDaemonIsSaid) {
  EXPECT_THAT(finding("no store"), testing::AllOf(HasSubstr("note:"), HasSubstr("varve init")));
}

}  // namespace
}  // namespace varve
