// SPDX-License-Identifier: Apache-2.0
#include "fs/overlay.h"

#include <utility>

namespace varve {
namespace {

/// What a record costs besides its bytes: the map's node and the allocator's headers.
constexpr std::size_t kRecordOverheadBytes = 112;

std::size_t cost_of(const Overlay::Value& value) {
  return kRecordOverheadBytes + (value ? value->capacity() : 0);
}

}  // namespace

void Overlay::set(const Key& key, Value value) {
  const auto [at, inserted] = records_.try_emplace(key);
  if (!inserted) record_bytes_ -= cost_of(at->second);
  at->second = std::move(value);
  record_bytes_ += cost_of(at->second);
}

const Overlay::Value* Overlay::find(const Key& key) const {
  const auto found = records_.find(key);
  return found == records_.end() ? nullptr : &found->second;
}

const FileData* Overlay::find_data(Ino ino) const {
  const auto found = data_.find(ino);
  return found == data_.end() ? nullptr : &found->second;
}

void Overlay::drop_data(Ino ino) {
  const auto found = data_.find(ino);
  if (found == data_.end()) return;
  data_bytes_ -= kFileOverheadBytes + found->second.memory_bytes();
  data_.erase(found);
}

}  // namespace varve
