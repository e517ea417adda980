// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/base/bytes.h"

namespace varve::fuzz {

/// One decoder that reads what others wrote, and how to feed it. A value.
struct Target {
  const char* name;
  /// Decodes `input`. What is refused with a documented error is well; everything else that is
  /// thrown, a failed check and a broken promise (what was accepted survives a round trip) is a
  /// finding.
  void (*run)(ByteView input);
  /// Well-formed inputs made by the encoders, from which a corpus begins.
  std::vector<Bytes> (*seeds)();
};

/// All of them, by name.
const std::vector<Target>& targets();
/// Null if there is none of that name.
const Target* find_target(std::string_view name);

}  // namespace varve::fuzz
