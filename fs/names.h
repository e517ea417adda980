// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

namespace varve {

/// Shortest prefix of a generated name that finds it.
inline constexpr std::size_t kMinPrefixBytes = 4;

/// 64 hexadecimal digits of fresh randomness.
std::string generated_name();
/// True for a name of that form.
bool is_generated_name(const std::string& name);

/// What a reference names: "VOLUME@SNAPSHOT", or a bare name with `volume` empty. parse() throws
/// UserError(EINVAL) when a side of the '@' is empty, or there are two.
struct SnapshotReference {
  std::string volume;
  std::string name;
  static SnapshotReference parse(const std::string& text);
};

/// The checks of the catalog, before anything of a snapshot is written: UserError.
void check_snapshot(const std::string& name, const std::map<std::string, std::string>& labels);

}  // namespace varve
