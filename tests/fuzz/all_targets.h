// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "store/base/bytes.h"

// The targets of each layer; targets.cc lists them.

namespace varve::fuzz {

// store_target.cc
void format_file(ByteView input);
void superblock(ByteView input);
void segment(ByteView input);
void payload(ByteView input);
void commit_delta(ByteView input);
void commit_record(ByteView input);
std::vector<Bytes> format_file_seeds();
std::vector<Bytes> superblock_seeds();
std::vector<Bytes> segment_seeds();
std::vector<Bytes> payload_seeds();
std::vector<Bytes> commit_delta_seeds();
std::vector<Bytes> commit_record_seeds();

// journal_target.cc
void journal(ByteView input);
void operation(ByteView input);
void snapshot_cut(ByteView input);
std::vector<Bytes> journal_seeds();
std::vector<Bytes> operation_seeds();
std::vector<Bytes> snapshot_cut_seeds();

// snapshot_target.cc
void node(ByteView input);
void record(ByteView input);
void catalog_row(ByteView input);
void catalog(ByteView input);
std::vector<Bytes> node_seeds();
std::vector<Bytes> record_seeds();
std::vector<Bytes> catalog_row_seeds();
std::vector<Bytes> catalog_seeds();

// volume_target.cc
void volume(ByteView input);
std::vector<Bytes> volume_seeds();

// http_target.cc
void http(ByteView input);
std::vector<Bytes> http_seeds();

// plugin_target.cc
void plugin(ByteView input);
void volume_options(ByteView input);
std::vector<Bytes> plugin_seeds();
std::vector<Bytes> volume_options_seeds();

// mountd_target.cc
void control_api(ByteView input);
void http_target(ByteView input);
void size_text(ByteView input);
void mount_options(ByteView input);
void names(ByteView input);
void keeper_texts(ByteView input);
std::vector<Bytes> control_api_seeds();
std::vector<Bytes> http_target_seeds();
std::vector<Bytes> size_text_seeds();
std::vector<Bytes> mount_options_seeds();
std::vector<Bytes> names_seeds();
std::vector<Bytes> keeper_texts_seeds();

}  // namespace varve::fuzz
