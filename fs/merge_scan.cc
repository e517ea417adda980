// SPDX-License-Identifier: Apache-2.0
#include "fs/merge_scan.h"

namespace varve {
namespace {

/// The layers as one ascending stream, the newest record of each key.
class LayerCursor {
 public:
  LayerCursor(std::span<const RecordMap* const> layers, const Key& first, const Key& last) {
    ranges_.reserve(layers.size());
    for (const RecordMap* layer : layers) {
      const Range range{layer->lower_bound(first), layer->lower_bound(last)};
      if (range.next != range.end) ranges_.push_back(range);
    }
    settle();
  }

  bool done() const { return current_ == nullptr; }
  const Key& key() const { return current_->first; }
  const Overlay::Value& value() const { return current_->second; }

  void advance() {
    const Key passed = key();
    for (Range& range : ranges_) {
      if (range.next != range.end && range.next->first == passed) ++range.next;
    }
    settle();
  }

 private:
  struct Range {
    RecordMap::const_iterator next;
    RecordMap::const_iterator end;
  };

  void settle() {
    current_ = nullptr;
    for (const Range& range : ranges_) {
      if (range.next == range.end) continue;
      if (current_ == nullptr || range.next->first < current_->first) current_ = &*range.next;
    }
  }

  std::vector<Range> ranges_;  // newest first
  const RecordMap::value_type* current_ = nullptr;
};

}  // namespace

void merge_scan(std::span<const RecordMap* const> layers, const Tree& base, const Key& first,
                const Key& last, const std::function<bool(const Key&, ByteView)>& visit) {
  if (!(first < last)) return;
  LayerCursor cursor(layers, first, last);
  const auto emit = [&] {
    const bool go_on = !cursor.value() || visit(cursor.key(), *cursor.value());
    cursor.advance();
    return go_on;
  };
  bool stopped = false;
  base.scan(first, last, Wait::kRefused, [&](const Key& key, ByteView value) {
    bool hidden = false;
    while (!stopped && !cursor.done() && cursor.key() <= key) {
      hidden = cursor.key() == key;
      stopped = !emit();
    }
    if (!stopped && !hidden) stopped = !visit(key, value);
    return !stopped;
  });
  while (!stopped && !cursor.done()) stopped = !emit();
}

}  // namespace varve
