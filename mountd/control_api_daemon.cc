// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mountd/control_api_call.h"
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
  return {{"Target", mount.target()},
          {"Volume", mount.volume},
          {"Snapshot", mount.snapshot},
          {"Mountpoint", mount.mount_point},
          {"ReadOnly", mount.read_only},
          {"Detached", mount.detached},
          {"Options", mount.options},
          {"Transport", transport_text(mount.transport)},
          {"Mounted", time_text(mount.mounted_ns)},
          {"Requests", mount.figures.requests},
          {"RequestsTotal", total},
          {"Failures", mount.figures.failures},
          {"Notifications", mount.figures.notifications}};
}

LiveMounts& ControlApi::mounts() {
  if (mounts_ == nullptr)
    throw UserError(EINVAL, "no daemon runs for this store; 'varve mount' starts one");
  return *mounts_;
}

Json ControlApi::version(const Call&) {
  return {{"Version", VARVE_VERSION}, {"ApiVersion", 1}, {"Daemon", static_cast<bool>(hooks_.stop)}};
}

Json ControlApi::status(const Call&) {
  Store& store = repository_.store();
  const StoreFigures figures = repository_.figures();
  Json daemon = nullptr;
  if (hooks_.stop) daemon = {{"Pid", ::getpid()}, {"Version", VARVE_VERSION}};
  return {{"Store", {{"Path", store.path()}, {"Id", hex_id(store.id())}}},
          {"Daemon", std::move(daemon)},
          {"Mounts", mounts_ != nullptr ? list_of(mounts_->list()) : Json::array()},
          {"Volumes", repository_.volumes().size()},
          {"Snapshots", repository_.snapshots("").size()},
          {"Trash", repository_.trash().size()},
          {"Commit", figures.csn},
          {"Objects", figures.objects},
          {"LiveBytes", figures.live_bytes},
          {"SegmentBytes", figures.segment_bytes},
          {"FreeBytes", figures.free_bytes},
          {"TotalBytes", figures.total_bytes},
          {"Journal",
           {{"Bytes", figures.journal_bytes},
            {"CapacityBytes", figures.journal_capacity_bytes},
            {"AppendedBytes", figures.journal_appended_bytes}}},
          {"Cache",
           {{"Bytes", figures.cache_bytes},
            {"Hits", figures.cache_hits},
            {"Misses", figures.cache_misses}}},
          {"DeviceFlushes", figures.device_flushes},
          {"ObjectReads", figures.object_reads},
          {"PendingDeletions", repository_.pending_deletions()},
          {"ReadOnly", figures.read_only},
          {"ReadOnlyReason", figures.read_only
                                 ? "a write to the device failed; see docs/operations.md"
                                 : ""}};
}

Json ControlApi::df(const Call& call) {
  const StoreFigures figures = repository_.figures();
  Json list = Json::array();
  const auto add = [&](const VolumeInfo& info) {
    const std::uint64_t used = info.logical_bytes;
    const std::uint64_t left = info.quota_bytes > used ? info.quota_bytes - used : 0;
    list.push_back({{"Volume", info.row.name},
                    {"Size", info.quota_bytes},
                    {"Used", used},
                    {"Available", info.quota_bytes == 0 ? figures.free_bytes
                                                        : std::min(left, figures.free_bytes)},
                    {"Inodes", info.inodes},
                    {"Snapshots", info.snapshots}});
  };
  const std::string only = call.parameter("volume");
  if (!only.empty()) {
    add(repository_.volume(only));
  } else {
    for (const VolumeInfo& info : repository_.volumes()) add(info);
  }
  return {{"Volumes", std::move(list)},
          {"Store",
           {{"Path", repository_.store().path()},
            {"LiveBytes", figures.live_bytes},
            {"SegmentBytes", figures.segment_bytes},
            {"JournalBytes", figures.journal_capacity_bytes},
            {"FreeBytes", figures.free_bytes},
            {"TotalBytes", figures.total_bytes}}}};
}

Json ControlApi::sync(const Call&) {
  const bool complete = mounts_ == nullptr || mounts_->flush_all();
  repository_.sync();
  return {{"Complete", complete}};
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
  return describe_mount(mounts().unmount(where, busy_from(call.text("busy").value_or(""))));
}

Json ControlApi::stop(const Call& call) {
  if (!hooks_.stop) throw UserError(ENOENT, "no daemon runs for this store");
  const FuseMount::Busy busy = busy_from(call.text("busy").value_or(""));
  mounts().refuse_new(true);
  try {
    mounts().unmount_all(busy);
  } catch (...) {
    mounts().refuse_new(false);
    throw;
  }
  hooks_.stop();
  return {{"Pid", ::getpid()}};
}

}  // namespace varve
