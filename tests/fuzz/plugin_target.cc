// SPDX-License-Identifier: Apache-2.0
// What container engines send: calls of the volume plugin, and the options of a volume.
#include <cerrno>

#include "mountd/json.h"
#include "mountd/plugin/volume_plugin.h"
#include "tests/fuzz/all_targets.h"
#include "tests/fuzz/check.h"
#include "tests/support/fake_fuse_mount.h"
#include "tests/support/fake_repository.h"

namespace varve::fuzz {
namespace {

constexpr const char* kNowhere = "/nonexistent";

/// The first line of `rest`, which is taken off.
std::string next_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  const std::string line(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

}  // namespace

/// Pairs of lines: call, body. All are sent to one store, whose mounts and files cannot be made.
void plugin(ByteView input) {
  constexpr int kCallsMax = 16;
  test::FakeRepository repository;
  test::FakeFuseMount::World world;
  LiveMounts mounts(repository, std::string(kNowhere) + "/store",
                    [&](std::shared_ptr<Volume> volume, FuseMount::Options options) {
                      return std::make_unique<test::FakeFuseMount>(world, std::move(volume),
                                                                   std::move(options));
                    });
  const VolumeRules rules(Disk::host(), std::string(kNowhere) + "/rules.json");
  ContainerVolumes::Options options;
  options.run_directory = kNowhere;
  options.mount_root = std::string(kNowhere) + "/volumes";
  options.attachments_path = std::string(kNowhere) + "/attachments.json";
  options.boot_id = "boot";
  ContainerVolumes volumes(repository, mounts, rules, Disk::host(), options);
  VolumePlugin plugin(volumes);
  std::string_view rest = as_text(input);
  for (int i = 0; i < kCallsMax && !rest.empty(); ++i) {
    HttpRequest request;
    request.method = "POST";
    request.path = next_line(rest);
    request.body = next_line(rest);
    const HttpReply reply = plugin.handle(request);
    const Json body = Json::parse(reply.body, nullptr, false);
    VARVE_CHECK(body.is_object());
    VARVE_CHECK(reply.status == 200 || !body.value("Err", "").empty());
    VARVE_CHECK(reply.status != 200 || body.value("Err", "").empty());
  }
}

std::vector<Bytes> plugin_seeds() {
  const std::string create =
      "/VolumeDriver.Create\n{\"Name\":\"v\",\"Opts\":{\"size\":\"5\",\"backing\":\"local\"}}\n";
  return {
      to_bytes("/Plugin.Activate\n\n/VolumeDriver.Capabilities\n{}\n/VolumeDriver.List\n\n"),
      to_bytes(create + "/VolumeDriver.Get\n{\"Name\":\"v\"}\n" +
               "/VolumeDriver.Mount\n{\"Name\":\"v\",\"ID\":\"a\"}\n" +
               "/VolumeDriver.Unmount\n{\"Name\":\"v\",\"ID\":\"a\"}\n" +
               "/VolumeDriver.Path\n{\"Name\":\"v\"}\n/VolumeDriver.Remove\n{\"Name\":\"v\"}\n"),
      to_bytes(create + create +
               "/VolumeDriver.Create\n{\"Name\":\"w\",\"Opts\":{\"from\":\"v\"}}\n" +
               "/VolumeDriver.Create\n{\"Name\":\"e\",\"Opts\":{\"ephemeral\":\"\"}}\n"),
  };
}

/// Lines "NAME=VALUE".
void volume_options(ByteView input) {
  OptionWords words;
  for (std::string_view rest = as_text(input); !rest.empty();) {
    const std::string line = next_line(rest);
    const std::size_t equals = std::min(line.find('='), line.size());
    words[line.substr(0, equals)] = line.substr(std::min(equals + 1, line.size()));
  }
  VolumeOptions options;
  if (!taken([&] { options = parse_volume_options(words); })) return;
  // What is kept says the same when it is read back.
  const VolumeOptions kept = kept_options(option_labels(options));
  VARVE_CHECK(kept.exclusive == options.exclusive && kept.profile == options.profile);
  VARVE_CHECK(kept.ids == options.ids && kept.read_only == options.read_only);
  VARVE_CHECK(kept.ephemeral == options.ephemeral);
  VARVE_CHECK(kept.snapshot_on_unmount == options.snapshot_on_unmount);
  VARVE_CHECK(kept.snapshot_on_remove == options.snapshot_on_remove);
}

std::vector<Bytes> volume_options_seeds() {
  return {to_bytes("size=25\nfrom=golden@v1\nbacking=local\nebstype=io1\niops=100\nlabel.a=b"),
          to_bytes("uidmap=0:100000:65536+70000:0:1\ngidmap=0:1:1\nmode=2770\nuid=1\ngid=2"),
          to_bytes("squash=5:6\nreadonly=yes\nprotect\nsnapshot-on=remove"),
          to_bytes("ephemeral=true\nperfmode=maxio\nbacking=shared\nprofile=general")};
}

}  // namespace varve::fuzz
