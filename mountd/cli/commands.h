// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "mountd/cli/command.h"

namespace varve::cli {

// One per file of the same name.
extern const Command kClone;
extern const Command kDaemonKeep;
extern const Command kDaemonRun;
extern const Command kDaemonStop;
extern const Command kDf;
extern const Command kDiff;
extern const Command kDoctor;
extern const Command kFsck;
extern const Command kInit;
extern const Command kMount;
extern const Command kRepair;
extern const Command kRollback;
extern const Command kRuleAdd;
extern const Command kRuleLs;
extern const Command kRuleRm;
extern const Command kScrub;
extern const Command kSnapshotCreate;
extern const Command kSnapshotInspect;
extern const Command kSnapshotLs;
extern const Command kSnapshotRm;
extern const Command kStatus;
extern const Command kSync;
extern const Command kUmount;
extern const Command kUpgrade;
extern const Command kVersion;
extern const Command kVolumeCreate;
extern const Command kVolumeInit;
extern const Command kVolumeInspect;
extern const Command kVolumeLs;
extern const Command kVolumePurge;
extern const Command kVolumeRestore;
extern const Command kVolumeRm;
extern const Command kVolumeSet;

/// All of them in the order of the help.
std::span<const Command* const> all_commands();

/// `mount.fuse.varve SPEC DIR [-sfnv] [-o OPTIONS] [-t TYPE]`, as mount(8) calls its helpers.
int run_mount_helper(std::vector<std::string> words);

}  // namespace varve::cli
