// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "snapshot/record.h"

namespace varve::test {

/// What contradicts itself among the records of one head, in sentences: link counts, places of
/// names, sizes of directories, flags, orphans, counters. Empty if all is well.
std::vector<std::string> problems_of(const std::vector<std::pair<Key, Bytes>>& records);

}  // namespace varve::test
