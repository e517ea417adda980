// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "mountd/control_api_call.h"
#include "store/base/error.h"

namespace varve {
namespace {

Json describe_snapshot(const SnapshotRow& row, const std::string& volume) {
  Json labels(row.labels);
  if (labels.is_null()) labels = Json::object();
  return {{"Name", row.name},
          {"Volume", volume},
          {"Size", row.quota_bytes},
          {"Used", row.logical_bytes},
          {"Created", time_text(row.created_ns)},
          {"Labels", std::move(labels)}};
}

const char* change_word(PathChange::What what) {
  switch (what) {
    case PathChange::What::kAdded:
      return "added";
    case PathChange::What::kRemoved:
      return "removed";
    case PathChange::What::kModified:
      return "modified";
    case PathChange::What::kRenamed:
      return "renamed";
  }
  return "modified";
}

const char* type_word(std::uint32_t type) {
  switch (type & 0170000) {
    case 0040000:
      return "directory";
    case 0100000:
      return "file";
    case 0120000:
      return "symlink";
    case 0010000:
      return "fifo";
    case 0140000:
      return "socket";
    case 0060000:
      return "block_device";
    case 0020000:
      return "character_device";
  }
  return "unknown";
}

Json describe_change(const PathChange& change) {
  Json object{{"change", change_word(change.what)},
              {"type", type_word(change.type)},
              {"inode", to_integer(change.ino)},
              {"content", change.content},
              {"metadata", change.metadata}};
  put_path(object, "path", change.path);
  if (change.what == PathChange::What::kRenamed) put_path(object, "old_path", change.old_path);
  return object;
}

}  // namespace

void ControlApi::check_reference(const std::string& reference) {
  if (!reference.empty() && reference.front() != '@' && reference.back() != '@') return;
  throw UserError(EINVAL, "'" + reference + "' names no snapshot; write VOLUME@SNAPSHOT");
}

std::map<VolumeId, std::string> ControlApi::volume_names() {
  std::map<VolumeId, std::string> names;
  for (const VolumeInfo& info : repository_.volumes()) names[info.row.id] = info.row.name;
  return names;
}

/// Before the present state of a volume is read: what programs wrote must have left the kernel.
void ControlApi::flush_source(const std::string& reference) {
  if (mounts_ == nullptr || reference.find('@') != std::string::npos) return;
  for (const VolumeInfo& info : repository_.volumes())
    // A generated name may be shortened; what is no volume's name is a snapshot's.
    if (info.row.name.compare(0, reference.size(), reference) == 0) mounts_->flush(info.row.name);
}

Json ControlApi::list_snapshots(const Call& call) {
  const std::map<VolumeId, std::string> names = volume_names();
  Json list = Json::array();
  for (const SnapshotRow& row : repository_.snapshots(call.parameter("volume"))) {
    const auto name = names.find(row.volume);
    list.push_back(describe_snapshot(row, name == names.end() ? std::string{} : name->second));
  }
  return list;
}

Json ControlApi::create_snapshot(const Call& call) {
  const std::string volume = repository_.volume(call.required_text("volume")).row.name;
  const auto name = call.text("name");
  if (name && name->empty()) throw UserError(EINVAL, "The snapshot name is empty. Give a name");
  std::map<std::string, std::string> labels = call.labels("labels");
  const bool live = mounts_ != nullptr && !mounts_->mount_point_of(volume).empty();
  labels.emplace("varve.taken", live ? "live" : "offline");
  const bool complete = !live || mounts_->flush(volume);
  const SnapshotRow row = repository_.create_snapshot(volume, name.value_or(""), labels);
  Json reply = describe_snapshot(row, volume);
  if (!complete)
    reply["Warning"] = "the mount point of volume " + volume +
                       " cannot be reached: what programs stored through mmap and did not sync may "
                       "be missing in the snapshot";
  return reply;
}

Json ControlApi::inspect_snapshot(const Call& call) {
  check_reference(call.parts[0]);
  const SnapshotRow row = repository_.snapshot(call.parts[0]);
  return describe_snapshot(row, volume_names()[row.volume]);
}

Json ControlApi::remove_snapshot(const Call& call) {
  check_reference(call.parts[0]);
  const SnapshotRow row = repository_.snapshot(call.parts[0]);
  const std::string reference = volume_names()[row.volume] + "@" + row.name;
  if (mounts_ != nullptr)
    for (const LiveMount& mount : mounts_->list())
      if (mount.target() == reference)
        throw UserError(EBUSY, "snapshot " + reference + " is mounted at " + mount.mount_point +
                                   "; unmount it first (varve umount " + mount.mount_point + ")");
  repository_.remove_snapshot(reference);
  return {{"Name", reference}};
}

/// With the write-back cache the kernel believes its own sizes and times of files more than ours,
/// and nothing makes it ask.
void ControlApi::refuse_writeback(const std::string& volume) {
  for (const LiveMount& mount : mounts_->list())
    if (mount.writeback && mount.snapshot.empty() && mount.volume == volume)
      throw UserError(EBUSY, "volume " + volume + " is mounted at " + mount.mount_point +
                                 " with -o writeback and cannot change under the kernel's cache; "
                                 "unmount it first (varve umount " +
                                 mount.mount_point + ")");
}

Json ControlApi::rollback(const Call& call) {
  const std::string volume = repository_.volume(call.parts[0]).row.name;
  const std::string snapshot = call.required_text("snapshot");
  if (mounts_ == nullptr)
    return describe_snapshot(repository_.rollback(volume, snapshot, {}), volume);

  refuse_writeback(volume);
  mounts_->flush(volume);
  // Whether the rollback succeeds or not, invalidations that began are finished.
  struct Finish {
    LiveMounts& mounts;
    const std::string& volume;
    ~Finish() {
      try {
        mounts.finish_invalidation(volume);
      } catch (const Error&) {  // the mount has ended: nothing is cached any more
      }
    }
  };
  const Finish finish{*mounts_, volume};
  const SnapshotRow before = repository_.rollback(
      volume, snapshot, [&](const std::shared_ptr<const VolumeChanges>& changes) {
        mounts_->invalidate(volume, changes);
      });
  return describe_snapshot(before, volume);
}

Json ControlApi::diff(const Call& call) {
  const std::string before = call.parameter("before"), after = call.parameter("after");
  check_reference(before);
  check_reference(after);
  flush_source(before);
  flush_source(after);
  Json changes = Json::array();
  for (const PathChange& change : repository_.diff(before, after))
    changes.push_back(describe_change(change));
  return {{"before", before}, {"after", after}, {"changes", std::move(changes)}};
}

}  // namespace varve
