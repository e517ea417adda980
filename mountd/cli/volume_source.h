// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace varve::cli {

/// What `volume init` fills a volume with: SOURCE:VOLUME as the user writes it.
struct VolumeSource {
  enum class Kind { kDirectory, kFile, kGit, kDownload };

  Kind kind = Kind::kDirectory;
  std::string source;
  std::string volume;

  /// Splits at the last colon and looks at the source: a directory or file here, a repository
  /// (git://, ssh://, or http(s):// that ends in .git), or a file to download (http(s)://).
  /// UsageError if it is not of that form; UserError if there is no such file, or the program that
  /// fetches it is not installed.
  static VolumeSource parse(std::string_view text);

  /// The program, a name to be looked up in PATH, and its words that put the source into
  /// `directory`. `progress`: it may show on standard error how far it is.
  std::vector<std::string> fetch_words(const std::string& directory, bool progress) const;
};

}  // namespace varve::cli
