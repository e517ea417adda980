// SPDX-License-Identifier: Apache-2.0
// What users and other programs send: requests of the control API, and words of command lines.
#include <nlohmann/json.hpp>

#include "fs/names.h"
#include "mountd/control_api.h"
#include "mountd/http_message.h"
#include "mountd/keeper/keeper_texts.h"
#include "mountd/mount_options.h"
#include "mountd/mount_point.h"
#include "mountd/size_text.h"
#include "snapshot/names.h"
#include "tests/fuzz/all_targets.h"
#include "tests/fuzz/check.h"
#include "tests/support/fake_fuse_mount.h"
#include "tests/support/fake_repository.h"

namespace varve::fuzz {
namespace {

/// The first line of `rest`, which is taken off.
std::string take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  const std::string line(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

}  // namespace

/// Blocks of three lines: method, target, body. All are sent to one store, so that later requests
/// meet what earlier ones made.
void control_api(ByteView input) {
  constexpr int kRequestsMax = 16;
  test::FakeRepository repository;
  test::FakeFuseMount::World world;
  LiveMounts mounts(repository, "/nonexistent/store",
                    [&](std::shared_ptr<Volume> volume, FuseMount::Options options) {
                      return std::make_unique<test::FakeFuseMount>(world, std::move(volume),
                                                                   std::move(options));
                    });
  ControlApi api(repository, &mounts);
  std::string_view rest = as_text(input);
  for (int i = 0; i < kRequestsMax && !rest.empty(); ++i) {
    HttpRequest request;
    request.method = take_line(rest);
    parse_target(take_line(rest), request);
    request.body = take_line(rest);
    const HttpReply reply = api.handle(request);
    const auto body = nlohmann::json::parse(reply.body, nullptr, false);
    VARVE_CHECK(!body.is_discarded());
    VARVE_CHECK(reply.status == 200 || !body.value("error", "").empty());
    // EIO is what an exception becomes that nobody expected.
    VARVE_CHECK(reply.status == 200 || body.value("errno", 0) != EIO);
  }
}

std::vector<Bytes> control_api_seeds() {
  const std::string create =
      "POST\n/v1/volumes\n{\"name\":\"a\",\"size\":\"2GiB\",\"labels\":{\"k\":\"v\"}}\n";
  const std::string cut = "POST\n/v1/snapshots\n{\"volume\":\"a\",\"name\":\"s\"}\n";
  return {
      to_bytes(create + cut + "POST\n/v1/volumes\n{\"name\":\"b\",\"source\":\"a@s\"}\n" +
               "GET\n/v1/snapshots?volume=a\n\nDELETE\n/v1/snapshots/a%40s\n\n"),
      to_bytes(create + "PATCH\n/v1/volumes/a\n{\"protect\":true,\"remove_labels\":[\"k\"]}\n" +
               "DELETE\n/v1/volumes/a\n\nPATCH\n/v1/volumes/a\n{\"size\":0,\"protect\":false}\n"),
      to_bytes(create + "DELETE\n/v1/volumes/a\n\nGET\n/v1/volumes?trash=1\n\n" +
               "POST\n/v1/trash/a/restore\n\nDELETE\n/v1/trash\n{\"trashed_before_ns\":5}\n"),
      to_bytes(create + cut + "POST\n/v1/volumes/a/rollback\n{\"snapshot\":\"s\"}\n" +
               "GET\n/v1/diff?before=a%40s&after=a\n\nGET\n/v1/df?volume=a\n\n"),
      to_bytes(create + "POST\n/v1/mounts\n{\"target\":\"a\",\"mount_point\":\"/nonexistent/m\"," +
               "\"options\":\"ro,noatime\"}\nDELETE\n/v1/"
               "mounts\n{\"where\":\"a\",\"busy\":\"detach\"}\n"),
      to_bytes(std::string("GET\n/v1/status\n\nGET\n/v1/version\n\nPOST\n/v1/sync\n\n") +
               "GET\n/v1/mounts\n\nPOST\n/v1/stop\n{\"busy\":\"force\"}\n"),
  };
}

void http_target(ByteView input) {
  const std::string_view text = as_text(input);
  HttpRequest request;
  parse_target(text, request);
  percent_decode(text, true);
  VARVE_CHECK(percent_decode(percent_encode(text)) == text);
}

std::vector<Bytes> http_target_seeds() {
  return {to_bytes("/v1/volumes/a%2Fb?x=1&y=%41+z&empty="), to_bytes("/%"), to_bytes("?&=&%4")};
}

void size_text(ByteView input) {
  taken([&] {
    const std::uint64_t bytes = parse_size(as_text(input));
    VARVE_CHECK(bytes <= kMaxSizeBytes);
    // What is shown has few digits, and can be given back.
    const std::uint64_t shown = parse_size(varve::size_text(bytes));
    VARVE_CHECK(shown <= bytes + bytes / 10 + 1 && bytes <= shown + shown / 10 + 1);
    VARVE_CHECK(parse_size(std::to_string(bytes) + "B") == bytes);
  });
}

std::vector<Bytes> size_text_seeds() {
  std::vector<Bytes> out;
  for (const char* text : {"20", "1.5TiB", "512MB", "0", "9223372036854775807B", "8eb", ".5g"}) {
    out.push_back(to_bytes(text));
  }
  return out;
}

void mount_options(ByteView input) {
  MountOptions options;
  if (!taken([&] { parse_mount_options(as_text(input), options); })) return;
  // What is shown is taken again.
  MountOptions again;
  VARVE_CHECK(taken([&] { parse_mount_options(mount_options_text(options.fuse, false), again); }));
}

std::vector<Bytes> mount_options_seeds() {
  return {to_bytes("ro,allow_other,nosuid,nodev,noexec,noatime,noxattr"),
          to_bytes("rw,private,writeback,create,transport=uring,max_threads=8,fsname=x"),
          to_bytes("defaults,noauto,user,nofail,_netdev,x-systemd.automount,store=/srv/varve"),
          to_bytes("fsname=a\\,b,,comment=c")};
}

namespace {

/// What is understood is the same after its text; what is not is refused as such.
template <class Text>
void same_after_text(const std::string& text) {
  try {
    const std::string once = Text::parse(text).text();
    VARVE_CHECK(Text::parse(once).text() == once);
  } catch (const StoreError& refused) {
    VARVE_CHECK(refused.code() == EPROTO);
  }
}

}  // namespace

void keeper_texts(ByteView input) {
  const std::string text(as_text(input));
  same_after_text<KeeperHello>(text);
  same_after_text<KeeperWelcome>(text);
  same_after_text<KeptMount>(text);
  // What an earlier process and the kernel said may be any bytes.
  const Bytes bytes(input.begin(), input.end());
  const FuseAgreement agreement{bytes, bytes};
  VARVE_CHECK(agreement.narrowed_request().size() == bytes.size());
  static_cast<void>(agreement.kernel_resends());
  static_cast<void>(agreement.is_same(input));
}

std::vector<Bytes> keeper_texts_seeds() {
  KeptMount mount;
  mount.target = "a@s";
  mount.mount_point = "/mnt/\xff";
  mount.options = "ro";
  mount.agreement.request = mount.agreement.reply = Bytes(80, std::byte{0x5a});
  return {to_bytes(KeeperHello{"/s", {"daemon", "run"}, 1, true}.text()),
          to_bytes(KeeperWelcome{1, 2, 3, true, "why"}.text()), to_bytes(mount.text())};
}

void names(ByteView input) {
  const std::string text(as_text(input));
  for (const NameOf what : {NameOf::kVolume, NameOf::kSnapshot}) {
    if (!taken([&] { validate_name(what, text); })) continue;
    // A name never leads out of a directory, and never looks like an option or a reference.
    VARVE_CHECK(text.find_first_of(std::string_view("/@\0 \n", 5)) == std::string::npos);
    VARVE_CHECK(text.front() != '.' && text.front() != '-' && text.size() <= kMaxObjectNameBytes);
  }
  taken([&] {
    const SnapshotReference reference = SnapshotReference::parse(text);
    VARVE_CHECK(reference.volume.size() + reference.name.size() <= text.size());
    VARVE_CHECK(reference.volume.empty() == (text.find('@') == std::string::npos));
    VARVE_CHECK(!reference.name.empty() || text.empty());
  });
  taken([&] { check_snapshot(text, {{text, text}}); });
}

std::vector<Bytes> names_seeds() {
  return {to_bytes("vol1"),           to_bytes("a@b"), to_bytes("../etc"),
          to_bytes(generated_name()), to_bytes("-o"),  to_bytes(std::string(256, 'n'))};
}

}  // namespace varve::fuzz
