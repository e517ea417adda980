// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mountd/control_api_call.h"
#include "mountd/memory_limit.h"
#include "store/base/error.h"

namespace varve {
namespace {

std::string hex_id(const std::array<std::byte, 16>& id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : id) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

FuseMount::Busy busy_from(const std::string& text) {
  if (text.empty() || text == "refuse") return FuseMount::Busy::kRefuse;
  if (text == "detach") return FuseMount::Busy::kDetach;
  if (text == "abort") return FuseMount::Busy::kAbort;
  throw UserError(EINVAL, "field 'busy' must be refuse, detach or abort");
}

Json list_of(const std::vector<LiveMount>& mounts) {
  Json list = Json::array();
  for (const LiveMount& mount : mounts) list.push_back(describe_mount(mount));
  return list;
}

}  // namespace

Json describe_mount(const LiveMount& mount) {
  std::uint64_t total = 0;
  for (const auto& [type, count] : mount.figures.requests) total += count;
  return {{"target", mount.target()},
          {"volume", mount.volume},
          {"snapshot", mount.snapshot},
          {"mount_point", mount.mount_point},
          {"read_only", mount.read_only},
          {"detached", mount.detached},
          {"options", mount.options},
          {"transport", transport_text(mount.transport)},
          {"mounted", time_text(mount.mounted_ns)},
          {"kept", mount.why_not_kept.empty()},
          {"why_not_kept", mount.why_not_kept},
          {"requests", mount.figures.requests},
          {"requests_total", total},
          {"failures", mount.figures.failures},
          {"notifications", mount.figures.notifications}};
}

LiveMounts& ControlApi::mounts() {
  if (mounts_ == nullptr)
    throw UserError(EINVAL, "no daemon runs for this store; 'varve mount' starts one");
  return *mounts_;
}

/// None for a command that has opened the store by itself.
Json ControlApi::describe_memory() const {
  if (!hooks_.stop) return nullptr;
  return {{"bytes", resident_bytes()}, {"limit_bytes", memory_limit_bytes()}};
}

Json ControlApi::version(const Call&) {
  return {
      {"version", VARVE_VERSION}, {"api_version", 1}, {"daemon", static_cast<bool>(hooks_.stop)}};
}

Json ControlApi::status(const Call&) {
  static constexpr const char* kReadOnlyReason =
      "a write to the device failed; check the disk, then end the daemon and start it again";
  Store& store = repository_.store();
  const StoreFigures figures = repository_.figures();
  Json daemon = nullptr;
  if (hooks_.stop) daemon = {{"pid", ::getpid()}, {"version", VARVE_VERSION}};
  return {{"store", {{"path", store.path()}, {"id", hex_id(store.id())}}},
          {"daemon", std::move(daemon)},
          {"keeper", describe_keeper()},
          {"plugin", {{"sockets", hooks_.plugin_sockets}}},
          {"mounts", mounts_ != nullptr ? list_of(mounts_->list()) : Json::array()},
          {"volumes", repository_.volumes().size()},
          {"snapshots", repository_.snapshots("").size()},
          {"trash", repository_.trash().size()},
          {"commit", figures.csn},
          {"objects", figures.objects},
          {"damaged_objects", figures.damaged_objects},
          {"live_bytes", figures.live_bytes},
          {"segment_bytes", figures.segment_bytes},
          {"free_bytes", figures.free_bytes},
          {"total_bytes", figures.total_bytes},
          {"journal",
           {{"bytes", figures.journal_bytes},
            {"file_bytes", figures.journal_file_bytes},
            {"capacity_bytes", figures.journal_capacity_bytes},
            {"appended_bytes", figures.journal_appended_bytes}}},
          {"dirty_bytes", repository_.dirty_bytes()},
          {"cache",
           {{"bytes", figures.cache_bytes},
            {"hits", figures.cache_hits},
            {"misses", figures.cache_misses}}},
          {"memory", describe_memory()},
          {"device_flushes", figures.device_flushes},
          {"object_reads", figures.object_reads},
          {"pending_deletions", repository_.pending_deletions()},
          {"read_only", figures.read_only},
          {"read_only_reason", figures.read_only ? kReadOnlyReason : ""}};
}

Json ControlApi::df(const Call& call) {
  const StoreFigures figures = repository_.figures();
  Json list = Json::array();
  const auto add = [&](const VolumeInfo& info) {
    const std::uint64_t used = info.logical_bytes;
    const std::uint64_t left = info.quota_bytes > used ? info.quota_bytes - used : 0;
    list.push_back({{"volume", info.row.name},
                    {"size", info.quota_bytes},
                    {"used", used},
                    {"available", info.quota_bytes == 0 ? figures.free_bytes
                                                        : std::min(left, figures.free_bytes)},
                    {"inodes", info.inodes},
                    {"snapshots", info.snapshots}});
  };
  const std::string only = call.parameter("volume");
  if (!only.empty()) {
    add(repository_.volume(only));
  } else {
    for (const VolumeInfo& info : repository_.volumes()) add(info);
  }
  return {{"volumes", std::move(list)},
          {"store",
           {{"path", repository_.store().path()},
            {"live_bytes", figures.live_bytes},
            {"segment_bytes", figures.segment_bytes},
            {"journal_bytes", figures.journal_file_bytes},
            {"free_bytes", figures.free_bytes},
            {"total_bytes", figures.total_bytes}}}};
}

Json ControlApi::sync(const Call&) {
  const bool complete = mounts_ == nullptr || mounts_->flush_all();
  repository_.sync();
  return {{"complete", complete}};
}

Json ControlApi::list_mounts(const Call&) {
  return mounts_ != nullptr ? list_of(mounts_->list()) : Json::array();
}

Json ControlApi::mount(const Call& call) {
  MountRequest request;
  request.target = call.required_text("target");
  request.mount_point = call.required_text("mount_point");
  if (request.mount_point.empty() || request.mount_point.front() != '/')
    throw UserError(EINVAL, "field 'mount_point' must be an absolute path");
  parse_mount_options(call.text("options").value_or(""), request.options);
  return describe_mount(mounts().mount(request));
}

Json ControlApi::unmount(const Call& call) {
  const std::string where = call.required_text("where");
  if (mounts_ == nullptr)
    throw UserError(ENOENT, where + " is not mounted: no daemon runs for this store");
  const FuseMount::Busy busy = busy_from(call.text("busy").value_or(""));
  if (busy == FuseMount::Busy::kRefuse)
    for (const LiveMount& mount : mounts().list())
      if (mount.mount_point == where || mount.target() == where)
        refuse_if_in_containers(mount.volume);
  return describe_mount(mounts().unmount(where, busy));
}

Json ControlApi::stop(const Call& call) {
  if (!hooks_.stop) throw UserError(ENOENT, "no daemon runs for this store");
  const FuseMount::Busy busy = busy_from(call.text("busy").value_or(""));
  // Their mount tables are their own: the kernel would not call a volume busy that they use.
  if (busy == FuseMount::Busy::kRefuse)
    for (const LiveMount& mount : mounts().list()) refuse_if_in_containers(mount.volume);
  mounts().refuse_new(true);
  try {
    mounts().unmount_all(busy);
  } catch (...) {
    mounts().refuse_new(false);
    throw;
  }
  hooks_.stop();
  return {{"pid", ::getpid()}};
}

}  // namespace varve
