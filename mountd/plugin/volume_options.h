// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "fs/id_map.h"
#include "fs/profile.h"

namespace varve {

using OptionWords = std::map<std::string, std::string>;

/// What a container engine's user says about a volume with `-o NAME=VALUE`. The words about a new
/// volume (size, source, owner, labels, protect) act once; the others are kept as labels of the
/// volume under kOptionLabelPrefix and act at each mount and removal.
struct VolumeOptions {
  // Once
  std::optional<std::uint64_t> size_bytes;  ///< 0: no limit
  std::optional<std::string> source;        ///< "VOLUME", "VOLUME@SNAPSHOT" or a snapshot's name
  std::map<std::string, std::string> labels;
  bool protect = false;
  std::optional<std::uint32_t> mode, uid, gid;  ///< of the root directory

  // At each use
  bool exclusive = false;  ///< backing=local or relocatable: one container at a time
  Profile profile = Profile::kGeneral;
  IdMapping ids;
  bool ephemeral = false;  ///< begins anew with each first use
  bool read_only = false;
  bool snapshot_on_unmount = false;
  bool snapshot_on_remove = false;

  /// All words given, in their canonical form ("size=25000000000"), labels apart.
  OptionWords words;
};

inline constexpr const char* kOptionLabelPrefix = "varve.";

/// UserError(EINVAL) with a sentence for an unknown word, a value that does not parse, and words
/// that exclude each other. docs/containers.md lists the words.
VolumeOptions parse_volume_options(const OptionWords& given);

/// The words that are to be kept, as labels with the prefix.
std::map<std::string, std::string> option_labels(const VolumeOptions& options);
/// The words kept in a volume's labels, without the prefix.
OptionWords kept_words(const std::map<std::string, std::string>& labels);
/// The options kept in a volume's labels. What another version kept and this one does not know is
/// left out.
VolumeOptions kept_options(const std::map<std::string, std::string>& labels);

/// `labels` with the words of `given` in place of those kept; they act from the next mount on. An
/// empty uidmap, gidmap or squash takes that one away. UserError(EINVAL) for a word that only
/// creation takes, and as parse_volume_options.
std::map<std::string, std::string> with_options(std::map<std::string, std::string> labels,
                                                const OptionWords& given);

/// True for a label that holds an option, which only the options themselves may change.
bool is_option_label(const std::string& key);

}  // namespace varve
