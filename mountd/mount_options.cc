// SPDX-License-Identifier: Apache-2.0
#include "mountd/mount_options.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "store/base/error.h"

namespace varve {
namespace {

struct Flag {
  std::string_view word;
  void (*apply)(MountOptions&);
};

constexpr std::array kFlags{
    Flag{"ro", [](MountOptions& o) { o.fuse.read_only = true; }},
    Flag{"rw", [](MountOptions& o) { o.fuse.read_only = false; }},
    Flag{"allow_other", [](MountOptions& o) { o.allow_other = true; }},
    Flag{"private", [](MountOptions& o) { o.allow_other = false; }},
    Flag{"default_permissions", [](MountOptions& o) { o.fuse.default_permissions = true; }},
    Flag{"nosuid", [](MountOptions& o) { o.fuse.nosuid = true; }},
    Flag{"suid", [](MountOptions& o) { o.fuse.nosuid = false; }},
    Flag{"nodev", [](MountOptions& o) { o.fuse.nodev = true; }},
    Flag{"dev", [](MountOptions& o) { o.fuse.nodev = false; }},
    Flag{"noexec", [](MountOptions& o) { o.fuse.noexec = true; }},
    Flag{"exec", [](MountOptions& o) { o.fuse.noexec = false; }},
    Flag{"noatime", [](MountOptions& o) { o.fuse.noatime = true; }},
    Flag{"noxattr", [](MountOptions& o) { o.fuse.noxattr = true; }},
    Flag{"acl", [](MountOptions& o) { o.fuse.acl = true; }},
    Flag{"noacl", [](MountOptions& o) { o.fuse.acl = false; }},
    Flag{"snapshots", [](MountOptions& o) { o.fuse.snapshots = true; }},
    Flag{"nosnapshots", [](MountOptions& o) { o.fuse.snapshots = false; }},
    Flag{"writeback", [](MountOptions& o) { o.fuse.writeback = true; }},
    Flag{"create", [](MountOptions& o) { o.create = true; }},
};

/// Words of mount(8) and /etc/fstab that are for others.
constexpr std::array<std::string_view, 20> kIgnored{
    "defaults", "auto",     "noauto",     "user",     "nouser",     "users",   "nousers",
    "owner",    "noowner",  "group",      "nogroup",  "_netdev",    "nofail",  "async",
    "atime",    "relatime", "norelatime", "diratime", "nodiratime", "lazytime"};

bool is_ignored(std::string_view word) {
  return std::find(kIgnored.begin(), kIgnored.end(), word) != kIgnored.end() ||
         word.substr(0, 2) == "x-" || word.substr(0, 2) == "X-" || word.substr(0, 8) == "comment=";
}

unsigned parse_threads(std::string_view value) {
  unsigned threads = 0;
  const auto result = std::from_chars(value.data(), value.data() + value.size(), threads);
  if (result.ec != std::errc{} || result.ptr != value.data() + value.size() || threads < 1 ||
      threads > 1024)
    throw UserError(EINVAL, "mount option max_threads=" + std::string(value) +
                                " is not a number from 1 to 1024");
  return threads;
}

/// True if `word` is "name=value" and was taken.
bool apply_value(std::string_view word, MountOptions& options) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view name = word.substr(0, equals);
  const std::string_view value = word.substr(equals + 1);
  if (name == "transport") {
    options.fuse.transport = parse_transport(value);
  } else if (name == "store") {
    options.store = std::string(value);
  } else if (name == "fsname") {
    options.fuse.fsname = std::string(value);
  } else if (name == "uidmap") {
    options.fuse.ids.users = IdMap::parse(value);
  } else if (name == "gidmap") {
    options.fuse.ids.groups = IdMap::parse(value);
  } else if (name == "squash") {
    options.fuse.ids.squash = parse_squash(value);
  } else if (name == "max_threads") {
    options.fuse.max_threads = parse_threads(value);
  } else {
    return false;
  }
  return true;
}

void apply(std::string_view word, MountOptions& options) {
  const auto flag = std::find_if(kFlags.begin(), kFlags.end(),
                                 [&](const Flag& candidate) { return candidate.word == word; });
  if (flag != kFlags.end()) {
    flag->apply(options);
  } else if (!apply_value(word, options) && !is_ignored(word)) {
    throw UserError(EINVAL, "mount option '" + std::string(word) +
                                "' is unknown; 'varve mount --help' lists the options");
  }
}

}  // namespace

void parse_mount_options(std::string_view text, MountOptions& options) {
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (!word.empty()) apply(word, options);
  }
  const IdMapping& ids = options.fuse.ids;
  if (ids.squash && !(ids.users.empty() && ids.groups.empty()))
    throw UserError(EINVAL,
                    "mount option squash shows one owner for all files; leave out uidmap and "
                    "gidmap");
}

FuseMount::Transport parse_transport(std::string_view text) {
  if (text == "plain") return FuseMount::Transport::kPlain;
  if (text == "uring") return FuseMount::Transport::kUring;
  throw UserError(EINVAL,
                  "transport '" + std::string(text) + "' is unknown; choose plain or uring");
}

const char* transport_text(FuseMount::Transport transport) {
  return transport == FuseMount::Transport::kUring ? "uring" : "plain";
}

std::string mount_options_text(const FuseMount::Options& options, bool read_only) {
  std::string text = read_only ? "ro" : "rw";
  const auto add = [&](bool set, const char* word) {
    if (set) text += std::string(",") + word;
  };
  add(options.allow_other, "allow_other");
  add(options.nosuid, "nosuid");
  add(options.nodev, "nodev");
  add(options.noexec, "noexec");
  add(options.noatime, "noatime");
  add(options.noxattr, "noxattr");
  add(!options.acl, "noacl");
  add(!options.snapshots, "nosnapshots");
  add(options.writeback, "writeback");
  if (!options.ids.users.empty()) text += ",uidmap=" + options.ids.users.text();
  if (!options.ids.groups.empty()) text += ",gidmap=" + options.ids.groups.text();
  if (const auto& squash = options.ids.squash)
    text += ",squash=" + std::to_string(squash->uid) + ":" + std::to_string(squash->gid);
  return text + ",transport=" + transport_text(options.transport);
}

}  // namespace varve
