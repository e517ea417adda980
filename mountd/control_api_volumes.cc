// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mountd/control_api_call.h"
#include "mountd/plugin/volume_creation.h"
#include "mountd/size_text.h"
#include "store/base/error.h"

namespace varve {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

}  // namespace

Json ControlApi::describe(const VolumeInfo& info, const std::vector<std::string>& snapshots) {
  const VolumeRow& row = info.row;
  const std::vector<std::string> containers = hooks_.containers && row.trashed_ns == 0
                                                  ? hooks_.containers(row.name)
                                                  : std::vector<std::string>{};
  Json labels = Json::object();
  for (const auto& [key, value] : row.labels)
    if (!is_option_label(key)) labels[key] = value;
  labels["container"] = joined(containers);
  labels["size"] = gigabytes_text(info.quota_bytes);
  const std::size_t at = row.source.find('@');
  labels["snapshot"] = at == std::string::npos ? std::string{} : row.source.substr(at + 1);
  Json volume{
      {"Name", row.name},
      {"Driver", "varve"},
      {"Mountpoint", mounts_ != nullptr && row.trashed_ns == 0 ? mounts_->mount_point_of(row.name)
                                                               : std::string{}},
      {"Labels", std::move(labels)},
      {"Created", time_text(row.created_ns)},
      {"Size", info.quota_bytes},
      {"Used", info.logical_bytes},
      {"Inodes", info.inodes},
      {"Snapshots", snapshots},
      {"Source", row.source},
      {"Protected", row.protect},
      {"Attached", info.attached},
      {"Containers", containers},
      {"Options", kept_words(row.labels)}};
  if (row.trashed_ns != 0) volume["Trashed"] = time_text(row.trashed_ns);
  return volume;
}

Json ControlApi::describe(const VolumeInfo& info) {
  std::vector<std::string> names;
  for (const SnapshotRow& row : repository_.snapshots(info.row.name)) names.push_back(row.name);
  return describe(info, names);
}

Json ControlApi::list_volumes(const Call& call) {
  Json list = Json::array();
  if (!call.parameter("trash").empty()) {
    for (const VolumeInfo& info : repository_.trash()) list.push_back(describe(info, {}));
    return list;
  }
  std::map<VolumeId, std::vector<std::string>> snapshots;
  for (const SnapshotRow& row : repository_.snapshots(""))
    snapshots[row.volume].push_back(row.name);
  for (const VolumeInfo& info : repository_.volumes())
    list.push_back(describe(info, snapshots[info.row.id]));
  return list;
}

Json ControlApi::create_volume(const Call& call) {
  const auto name = call.text("name");
  // An empty name that was given is a mistake; without one a name is generated.
  if (name && name->empty()) throw UserError(EINVAL, "The volume name is empty. Give a name");
  const VolumeOptions options = creation_options(call, name.value_or(""));
  if (options.source) {
    check_reference(*options.source);
    flush_source(*options.source);
  }
  const VolumeInfo info = create_volume_as(repository_, nullptr, name.value_or(""), options);
  return describe(info);
}

/// The fields of the body say the same as the words in "options", and more than they.
VolumeOptions ControlApi::creation_options(const Call& call, const std::string& name) {
  OptionWords words = call.words("options");
  if (const auto source = call.text("source")) {
    check_reference(*source);
    words["from"] = *source;
  }
  if (const auto size = call.size("size")) words["size"] = std::to_string(*size) + "B";
  if (hooks_.rules != nullptr && !name.empty()) words = hooks_.rules->complete(name, words);
  VolumeOptions options = parse_volume_options(words);
  for (const auto& [key, value] : call.labels("labels")) options.labels[key] = value;
  const auto mode = call.number("mode"), uid = call.number("uid"), gid = call.number("gid");
  if (mode.value_or(0) > 07777) throw UserError(EINVAL, "field 'mode' must be at most 07777");
  if (uid.value_or(0) >= 0xffffffff || gid.value_or(0) >= 0xffffffff)
    throw UserError(EINVAL, "fields 'uid' and 'gid' must be below 2^32-1");
  if (mode) options.mode = static_cast<std::uint32_t>(*mode);
  if (uid) options.uid = static_cast<std::uint32_t>(*uid);
  if (gid) options.gid = static_cast<std::uint32_t>(*gid);
  options.protect = options.protect || call.flag("protect");
  return options;
}

Json ControlApi::inspect_volume(const Call& call) {
  return describe(repository_.volume(call.parts[0]));
}

Json ControlApi::change_volume(const Call& call) {
  const VolumeInfo before = repository_.volume(call.parts[0]);
  const std::string& name = before.row.name;
  const auto quota = call.size("size");
  std::map<std::string, std::string> labels = before.row.labels;
  for (const auto& [key, value] : call.labels("labels")) labels[key] = value;
  if (const auto removed = call.body.find("remove_labels"); removed != call.body.end())
    for (const Json& key : *removed)
      if (key.is_string()) labels.erase(key.get<std::string>());
  if (const OptionWords options = call.words("options"); !options.empty())
    labels = with_options(std::move(labels), options);
  if (quota && *quota != 0 && *quota < before.logical_bytes)
    throw UserError(EINVAL, "volume " + name + " holds " + size_text(before.logical_bytes) +
                                ", more than the new size of " + size_text(*quota) +
                                "; delete files first or choose a larger size");
  if (quota) repository_.set_quota(name, *quota);
  if (labels != before.row.labels) repository_.set_labels(name, labels);
  if (call.body.contains("protect")) repository_.set_protect(name, call.flag("protect"));
  return describe(repository_.volume(name));
}

void ControlApi::refuse_if_mounted(const std::string& volume) {
  const std::string where = mounts_ != nullptr ? mounts_->mount_point_of(volume) : std::string{};
  if (!where.empty())
    throw UserError(EBUSY, "volume " + volume + " is mounted at " + where +
                               "; unmount it first (varve umount " + where + ")");
}

void ControlApi::refuse_if_in_containers(const std::string& volume) {
  if (!hooks_.containers) return;
  const std::vector<std::string> users = hooks_.containers(volume);
  if (!users.empty())
    throw UserError(
        EBUSY, "volume " + volume + " is used by containers (mount " + users.front().substr(0, 12) +
                   (users.size() > 1 ? " and others" : "") + "); stop those containers first");
}

Json ControlApi::remove_volume(const Call& call) {
  const std::string name = repository_.volume(call.parts[0]).row.name;
  refuse_if_mounted(name);
  repository_.remove_volume(name);
  return {{"Name", name}};
}

Json ControlApi::restore_volume(const Call& call) {
  return describe(repository_.restore_volume(call.parts[0]));
}

Json ControlApi::purge_trash(const Call& call) {
  const auto before = call.number("trashed_before_ns");
  const std::uint64_t limit =
      std::min<std::uint64_t>(before.value_or(kMaxSizeBytes), kMaxSizeBytes);
  return {{"purged", repository_.purge_trash(static_cast<std::int64_t>(limit))}};
}

}  // namespace varve
