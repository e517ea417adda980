// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/commands.h"

#include <array>

namespace varve::cli {

std::span<const Command* const> all_commands() {
  static constexpr std::array<const Command*, 33> kAll{
      &kVolumeCreate, &kVolumeInspect, &kVolumeLs,    &kVolumeRm,       &kVolumeInit,
      &kVolumeSet,    &kVolumeRestore, &kVolumePurge, &kSnapshotCreate, &kSnapshotInspect,
      &kSnapshotLs,   &kSnapshotRm,    &kRuleAdd,     &kRuleLs,         &kRuleRm,
      &kDaemonKeep,   &kDaemonRun,     &kDaemonStop,  &kInit,           &kMount,
      &kUmount,       &kClone,         &kRollback,    &kDiff,           &kDf,
      &kStatus,       &kSync,          &kScrub,       &kFsck,           &kRepair,
      &kDoctor,       &kUpgrade,       &kVersion};
  return kAll;
}

}  // namespace varve::cli
