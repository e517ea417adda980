// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/container_volumes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "mountd/mount_point.h"
#include "mountd/plugin/mount_users.h"
#include "mountd/plugin/volume_creation.h"
#include "snapshot/names.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

[[noreturn]] void refuse_unknown(const std::string& name) {
  throw UserError(ENOENT, "no such volume: " + name);
}

ContainerVolumes::Options with_kernel(ContainerVolumes::Options options) {
  if (!options.is_mount_point)
    options.is_mount_point = [](const std::string& point) {
      return kernel_mount_at(point).has_value();
    };
  if (!options.is_mounted_elsewhere) options.is_mounted_elsewhere = is_mounted_elsewhere;
  return options;
}

/// Runs a step that must not fail the call it belongs to.
template <class Step>
void or_log(const std::string& what, const Step& step) {
  try {
    step();
  } catch (const std::exception& error) {
    log_error("plugin", what + ": " + error.what());
  }
}

}  // namespace

std::string run_directory() {
  if (::geteuid() == 0) return "/run";
  const char* chosen = std::getenv("XDG_RUNTIME_DIR");
  if (chosen == nullptr || *chosen != '/')
    throw UserError(ENOENT,
                    "there is no directory for mounts of containers; log in so that "
                    "XDG_RUNTIME_DIR is set, or set it");
  return chosen;
}

ContainerVolumes::ContainerVolumes(Repository& repository, LiveMounts& mounts,
                                   const VolumeRules& rules, Disk& disk, Options options)
    : repository_(repository),
      mounts_(mounts),
      rules_(rules),
      options_(with_kernel(std::move(options))),
      attachments_(disk, options_.attachments_path, options_.boot_id),
      work_(options_.call_limit) {}

// ---- looking -----------------------------------------------------------------------------------

VolumeInfo ContainerVolumes::find(const std::string& name) {
  validate_name(NameOf::kVolume, name);
  try {
    VolumeInfo info = repository_.volume(name);
    if (info.row.name == name) return info;  // not what only begins so
  } catch (const UserError& error) {
    if (error.code() != ENOENT && error.code() != EINVAL) throw;
  }
  refuse_unknown(name);
}

std::string ContainerVolumes::mount_point_of(const std::string& name) const {
  return is_mounted_here(name) ? point_of(name) : std::string{};
}

bool ContainerVolumes::is_mounted_here(const std::string& name) const {
  return mounts_.mount_point_of(name) == point_of(name);
}

std::vector<std::string> ContainerVolumes::holders(const std::string& name) const {
  std::vector<std::string> ids;
  for (const Attachments::Holder& holder : attachments_.holders(name)) ids.push_back(holder.id);
  return ids;
}

std::string ContainerVolumes::holders_text(const std::string& name) const {
  constexpr std::size_t kShown = 4, kIdBytes = 12;
  const std::vector<std::string> ids = holders(name);
  std::string text;
  for (std::size_t i = 0; i < std::min(ids.size(), kShown); ++i)
    text += (i == 0 ? "" : ", ") + ids[i].substr(0, kIdBytes);
  return ids.size() > kShown ? text + " and " + std::to_string(ids.size() - kShown) + " more"
                             : text;
}

// ---- making ------------------------------------------------------------------------------------

void ContainerVolumes::create(const std::string& name, const OptionWords& given) {
  validate_name(NameOf::kVolume, name);
  work_.run(name, "created", [this, name, given] { create_now(name, given); });
}

void ContainerVolumes::create_now(const std::string& name, const OptionWords& given) {
  const VolumeOptions wanted = parse_volume_options(given);
  std::optional<VolumeInfo> present;
  try {
    present = find(name);
  } catch (const UserError& error) {
    if (error.code() != ENOENT) throw;
  }
  if (present) return expect_same_options(*present, wanted);
  const VolumeOptions options = parse_volume_options(rules_.complete(name, given));
  create_volume_as(repository_, &mounts_, name, options);
}

// ---- mounting ----------------------------------------------------------------------------------

std::string ContainerVolumes::mount(const std::string& name, const std::string& id) {
  find(name);
  work_.run(name, "mounted", [this, name, id] { mount_now(name, id); });
  return point_of(name);
}

void ContainerVolumes::mount_now(const std::string& name, const std::string& id) {
  const VolumeInfo info = find(name);
  const VolumeOptions options = kept_options(info.row.labels);
  if (options.exclusive) refuse_second_holder(info, id);
  make_mount(info, options);
  attachments_.add(name, id);
  if (options.exclusive) sightings_.expect(name, Attachments::now_ms());
}

void ContainerVolumes::look_for_containers() {
  sightings_.make([this](const std::string& name) { return is_in_container(name); },
                  Attachments::now_ms());
}

bool ContainerVolumes::is_in_container(const std::string& name) const {
  return is_mounted_here(name) && options_.is_mounted_elsewhere(point_of(name));
}

void ContainerVolumes::refuse_second_holder(const VolumeInfo& info, const std::string& id) {
  const std::string& name = info.row.name;
  const auto is_other = [&](const std::string& holder) { return holder != id; };
  const auto others = [&] {
    const auto ids = holders(name);
    return std::any_of(ids.begin(), ids.end(), is_other);
  };
  if (!others() || drop_gone_holders(name)) return;
  throw UserError(EBUSY, "volume " + name + " is for one container at a time (backing=" +
                             kept_words(info.row.labels)["backing"] + ") and is in use by mount " +
                             holders_text(name) +
                             "; stop that container first, or use a volume with backing=shared");
}

/// True if nobody holds the volume any more: engines do not always say when a container has gone.
bool ContainerVolumes::drop_gone_holders(const std::string& name) {
  const std::int64_t now = Attachments::now_ms();
  const std::int64_t seen_ms = sightings_.seen_ms(name);
  for (const Attachments::Holder& holder : attachments_.holders(name))
    if (holder.since_ms > seen_ms && now - holder.since_ms < options_.start_grace.count())
      return false;
  if (is_in_container(name)) {
    sightings_.note(name, now);
    return false;
  }
  log_info("plugin",
           "volume " + name + ": no container shows it; forgetting " + holders_text(name));
  attachments_.clear(name);
  sightings_.forget(name);
  return true;
}

void ContainerVolumes::make_mount(const VolumeInfo& info, const VolumeOptions& options) {
  const std::string& name = info.row.name;
  const std::string point = point_of(name);
  if (is_mounted_here(name)) {
    if (options_.is_mount_point(point)) return;
    throw UserError(EBUSY, "volume " + name + " was unmounted from " + point +
                               " by somebody else and programs still use its files; end them "
                               "first");
  }
  if (options.ephemeral && holders(name).empty()) start_anew(name);
  make_own_directories(options_.run_directory, point);
  MountRequest request;
  request.target = name;
  request.mount_point = point;
  request.options.fuse.read_only = options.read_only;
  request.options.fuse.ids = options.ids;
  request.options.fuse.writeback = options.profile == Profile::kArchive;
  mounts_.mount(request);
}

// ---- unmounting --------------------------------------------------------------------------------

void ContainerVolumes::unmount(const std::string& name, const std::string& id) {
  validate_name(NameOf::kVolume, name);
  work_.run(name, "unmounted", [this, name, id] { unmount_now(name, id); });
}

void ContainerVolumes::unmount_now(const std::string& name, const std::string& id) {
  attachments_.remove(name, id);
  if (holders(name).empty() && is_mounted_here(name))
    or_log("unmount of volume " + name, [&] { release(name); });
}

void ContainerVolumes::release(const std::string& name) {
  const VolumeOptions options = kept_options(find(name).row.labels);
  // A program of the host that works in there keeps it mounted; the next last use tries again.
  if (mounts_.unmount(point_of(name), FuseMount::Busy::kRefuse).detached)
    log_warn("plugin", "volume " + name + " is unmounted, but a program still uses its files");
  ::rmdir(point_of(name).c_str());
  if (options.snapshot_on_unmount) take_snapshot(name, "unmount");
  if (options.ephemeral) start_anew(name);
}

/// An ephemeral volume loses what was written since it was made.
void ContainerVolumes::start_anew(const std::string& name) {
  const auto no_mount = [](const std::shared_ptr<const VolumeChanges>&) {};
  const SnapshotRow before = repository_.rollback(name, kInitialSnapshot, no_mount);
  repository_.remove_snapshot(name + "@" + before.name);
}

void ContainerVolumes::take_snapshot(const std::string& name, const char* reason) {
  repository_.create_snapshot(name, "", {{"varve.taken-on", reason}});
}

// ---- removing ----------------------------------------------------------------------------------

void ContainerVolumes::remove(const std::string& name) {
  validate_name(NameOf::kVolume, name);
  work_.run(name, "removed", [this, name] { remove_now(name); });
}

void ContainerVolumes::remove_now(const std::string& name) {
  std::optional<VolumeInfo> info;
  try {
    info = find(name);
  } catch (const UserError&) {
    const auto trash = repository_.trash();
    if (std::any_of(trash.begin(), trash.end(),
                    [&](const VolumeInfo& removed) { return removed.row.name == name; }))
      return;
    throw;
  }
  if (info->row.protect)
    throw UserError(EBUSY, "volume " + name + " is protected; 'varve volume set --no-protect " +
                               name + "' lifts that");
  if (!holders(name).empty() && !drop_gone_holders(name))
    throw UserError(EBUSY, "volume " + name + " is in use by mount " + holders_text(name) +
                               "; stop and remove the containers that use it first");
  if (is_mounted_here(name)) mounts_.unmount(point_of(name), FuseMount::Busy::kRefuse);
  if (const std::string where = mounts_.mount_point_of(name); !where.empty())
    throw UserError(EBUSY, "volume " + name + " is mounted at " + where +
                               "; unmount it first (varve umount " + where + ")");
  const VolumeOptions options = kept_options(info->row.labels);
  if (options.snapshot_on_remove) take_snapshot(name, "remove");
  repository_.remove_volume(name, Repository::WithSnapshots::kToo);
  ::rmdir(point_of(name).c_str());
}

// ---- starting ----------------------------------------------------------------------------------

void ContainerVolumes::recover() {
  const std::string below = options_.mount_root + "/";
  for (const KernelMount& mount : kernel_mounts()) {
    if (mount.mount_point.compare(0, below.size(), below) != 0) continue;
    const std::string name = mount.mount_point.substr(below.size());
    if (is_mounted_here(name)) continue;
    or_log("clearing the mount at " + mount.mount_point,
           [&] { clear_dead_mounts(mount.mount_point); });
    ::rmdir(mount.mount_point.c_str());
  }
  for (const std::string& name : attachments_.volumes())
    or_log("mounting volume " + name + " again", [&] { recover_volume(name); });
}

void ContainerVolumes::recover_volume(const std::string& name) {
  const VolumeInfo info = find(name);
  if (is_mounted_here(name)) return;  // taken over alive
  try {
    make_mount(info, kept_options(info.row.labels));
    log_warn("plugin", "volume " + name +
                           " is mounted again; containers that used it before the daemon ended (" +
                           holders_text(name) + ") must be started anew to see it");
  } catch (...) {
    attachments_.clear(name);
    throw;
  }
}

}  // namespace varve
