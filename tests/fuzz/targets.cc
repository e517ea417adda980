// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/targets.h"

#include <algorithm>

#include "tests/fuzz/all_targets.h"

namespace varve::fuzz {

const std::vector<Target>& targets() {
  static const std::vector<Target> all = {
      {"catalog", catalog, catalog_seeds},
      {"catalog_row", catalog_row, catalog_row_seeds},
      {"commit_delta", commit_delta, commit_delta_seeds},
      {"commit_record", commit_record, commit_record_seeds},
      {"control_api", control_api, control_api_seeds},
      {"format_file", format_file, format_file_seeds},
      {"http", http, http_seeds},
      {"http_target", http_target, http_target_seeds},
      {"journal", journal, journal_seeds},
      {"keeper_texts", keeper_texts, keeper_texts_seeds},
      {"mount_options", mount_options, mount_options_seeds},
      {"names", names, names_seeds},
      {"node", node, node_seeds},
      {"operation", operation, operation_seeds},
      {"payload", payload, payload_seeds},
      {"plugin", plugin, plugin_seeds},
      {"record", record, record_seeds},
      {"segment", segment, segment_seeds},
      {"size_text", size_text, size_text_seeds},
      {"snapshot_cut", snapshot_cut, snapshot_cut_seeds},
      {"superblock", superblock, superblock_seeds},
      {"volume", volume, volume_seeds},
      {"volume_options", volume_options, volume_options_seeds},
  };
  return all;
}

const Target* find_target(std::string_view name) {
  const auto found = std::find_if(targets().begin(), targets().end(),
                                  [&](const Target& target) { return name == target.name; });
  return found == targets().end() ? nullptr : &*found;
}

}  // namespace varve::fuzz
