// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fs/repository.h"
#include "mountd/live_mounts.h"
#include "mountd/plugin/attachments.h"
#include "mountd/plugin/named_work.h"
#include "mountd/plugin/sightings.h"
#include "mountd/plugin/volume_rules.h"

namespace varve {

/// Volumes as container engines use them: made on first use, mounted while a container uses them at
/// a place of our own, counted for each container. Every call may come again (engines retry) and
/// ends in seconds: what takes longer goes on, and the call fails with a sentence that says so.
/// Safe to share between threads.
class ContainerVolumes {
 public:
  struct Options {
    std::string run_directory;  ///< absolute and existing
    std::string mount_root;     ///< made below run_directory; volume v is mounted at MOUNT_ROOT/v
    std::string attachments_path;  ///< the file of Attachments
    std::string boot_id;
    std::chrono::milliseconds call_limit{4000};  ///< podman waits five seconds
    /// A mount of an engine that no container shows in its mount table counts for so long: between
    /// the engine's mount and the start of its container there is a time when none does.
    /// One that was seen in a container since then has no such time.
    std::chrono::milliseconds start_grace{60'000};
    /// What the kernel says of a mount point: that ours is there, and that a container has it too.
    /// Tests give others.
    std::function<bool(const std::string& point)> is_mount_point;
    std::function<bool(const std::string& point)> is_mounted_elsewhere;
  };

  /// All must outlive this.
  ContainerVolumes(Repository& repository, LiveMounts& mounts, const VolumeRules& rules, Disk& disk,
                   Options options);

  /// For a daemon that starts: clears mounts that a dead daemon left, mounts again what containers
  /// use, and forgets users that are gone. Logs what it cannot do.
  void recover();

  /// Makes the volume, or does nothing when it is there with options that agree. UserError.
  void create(const std::string& name, const OptionWords& given);
  /// UserError(ENOENT) when there is none of exactly this name.
  VolumeInfo find(const std::string& name);
  std::vector<VolumeInfo> list() { return repository_.volumes(); }
  /// One more use by `id`; returns the directory that shows the volume. UserError(EBUSY) with who
  /// holds it when the volume is for one container at a time, or mounted elsewhere.
  std::string mount(const std::string& name, const std::string& id);
  /// One use less; after the last the volume is unmounted, and snapshots or discards follow as its
  /// options say. An unknown pair is no error.
  void unmount(const std::string& name, const std::string& id);
  /// To the trash, snapshots included. UserError(EBUSY) when in use or protected. A volume that is
  /// in the trash already is no error.
  void remove(const std::string& name);

  /// Looks whether the containers that volumes were mounted for have started, where it is time to;
  /// to be called a few times a second. One that was seen and has gone holds a volume no more.
  void look_for_containers();

  /// Where the volume is mounted for containers; empty if it is not.
  std::string mount_point_of(const std::string& name) const;
  /// The ids of the containers that use the volume.
  std::vector<std::string> holders(const std::string& name) const;
  /// The volumes that containers use.
  std::vector<std::string> used() const { return attachments_.volumes(); }

 private:
  std::string point_of(const std::string& name) const { return options_.mount_root + "/" + name; }
  bool is_mounted_here(const std::string& name) const;
  void create_now(const std::string& name, const OptionWords& given);
  void mount_now(const std::string& name, const std::string& id);
  void unmount_now(const std::string& name, const std::string& id);
  void remove_now(const std::string& name);
  void make_mount(const VolumeInfo& info, const VolumeOptions& options);
  void recover_volume(const std::string& name);
  void refuse_second_holder(const VolumeInfo& info, const std::string& id);
  bool is_in_container(const std::string& name) const;
  bool drop_gone_holders(const std::string& name);
  void release(const std::string& name);
  void start_anew(const std::string& name);
  void take_snapshot(const std::string& name, const char* reason);
  std::string holders_text(const std::string& name) const;

  Repository& repository_;
  LiveMounts& mounts_;
  const VolumeRules& rules_;
  const Options options_;
  Attachments attachments_;
  Sightings sightings_;  ///< of exclusive volumes
  NamedWork work_;       ///< the last member: its end waits for work that uses the others
};

/// Where daemons keep what ends with the boot: /run for root, else $XDG_RUNTIME_DIR. UserError when
/// there is none.
std::string run_directory();

}  // namespace varve
