// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "fs/repository.h"
#include "fs/volume.h"

namespace varve::test {

/// Everything that is reachable from the root of a volume, in lines: names, attributes, extended
/// attributes, targets, contents. Equal text means that no program sees a difference. Works alike
/// on a real volume and on a MemoryVolume.
std::string text_of(Volume& volume);

/// All that a repository holds, by "volume NAME", "snapshot VOLUME@NAME" and "trash NAME".
using RepositoryState = std::map<std::string, std::shared_ptr<const std::string>>;

/// Attaches each volume and each snapshot in turn. No volume may be in use.
RepositoryState state_of(Repository& repository);

bool equal(const RepositoryState& one, const RepositoryState& other);
/// The first difference, in words; empty if there is none.
std::string difference(const RepositoryState& is, const RepositoryState& expected);

}  // namespace varve::test
