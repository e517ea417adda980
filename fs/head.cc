// SPDX-License-Identifier: Apache-2.0
#include "fs/head.h"

#include <utility>
#include <vector>

#include "fs/merge_scan.h"
#include "store/base/error.h"

namespace varve {

Head::Head(Store& store, NodeCache& cache, VolumeId volume, std::shared_ptr<const Base> base,
           bool read_only)
    : store_(store), cache_(cache), volume_(volume), read_only_(read_only), base_(std::move(base)) {
  VARVE_CHECK(base_ != nullptr);
}

std::optional<Bytes> Head::find(const Key& key) const {
  if (const Overlay::Value* value = active_.find(key)) return *value;
  for (auto frozen = frozen_.rbegin(); frozen != frozen_.rend(); ++frozen) {
    if (const Overlay::Value* value = frozen->overlay->find(key)) return *value;
  }
  return base_->tree.find(key, Wait::kRefused);
}

void Head::scan(const Key& first, const Key& last,
                const std::function<bool(const Key&, ByteView)>& visit) const {
  std::vector<const RecordMap*> layers{&active_.records()};
  for (auto frozen = frozen_.rbegin(); frozen != frozen_.rend(); ++frozen) {
    layers.push_back(&frozen->overlay->records());
  }
  merge_scan(layers, base_->tree, first, last, visit);
}

void Head::restore(std::deque<Frozen> frozen) {
  const MutexLock lock(gate_);
  VARVE_CHECK(active_.empty() && frozen_.empty());
  frozen_ = std::move(frozen);
}

std::optional<Frozen> Head::freeze(bool even_if_empty, const std::function<void()>& at_cut) {
  const MutexLock lock(gate_);
  if (active_.empty() && !even_if_empty) return std::nullopt;
  VARVE_CHECK(frozen_.size() < kMaxFrozen);
  auto overlay = std::make_shared<Overlay>();
  // An empty generation keeps the records that at_cut appends from being trimmed, too.
  const Lsn before_cut = store_.journal().end();
  if (at_cut) at_cut();
  const Lsn cut_lsn = store_.journal().end();
  *overlay = std::exchange(active_, Overlay{});
  if (!overlay->first_lsn) overlay->first_lsn = before_cut;
  frozen_.push_back({std::move(overlay), cut_lsn});
  return frozen_.back();
}

void Head::publish(std::shared_ptr<const Base> base) {
  Frozen done;  // freed after the gate is open
  const MutexLock lock(gate_);
  VARVE_CHECK(!frozen_.empty() && base != nullptr);
  done = std::move(frozen_.front());
  frozen_.pop_front();
  base_.swap(base);
}

void Head::renew(std::shared_ptr<ReadPin> pin) {
  std::shared_ptr<const Base> renewed;  // becomes the old one, freed after the gate is open
  const MutexLock lock(gate_);
  renewed = std::make_shared<const Base>(Base{base_->tree, std::move(pin)});
  base_.swap(renewed);
}

void Head::reset(std::shared_ptr<const Base> base) {
  std::deque<Frozen> frozen;
  Overlay active;
  const MutexLock lock(gate_);
  VARVE_CHECK(closed_ && base != nullptr);
  frozen_.swap(frozen);
  std::swap(active_, active);
  base_.swap(base);
}

void Head::close_gate() {
  const MutexLock lock(gate_);
  closed_ = true;
}

void Head::open_gate() {
  const MutexLock lock(gate_);
  closed_ = false;
  gate_opened_.notify_all();
}

std::optional<Lsn> Head::first_uncommitted_lsn() const {
  const MutexLock lock(gate_);
  if (!frozen_.empty()) return frozen_.front().overlay->first_lsn;
  return active_.first_lsn;
}

std::size_t Head::dirty_bytes() const {
  const MutexLock lock(gate_);
  std::size_t total = active_.memory_bytes();
  for (const Frozen& frozen : frozen_) total += frozen.overlay->memory_bytes();
  return total;
}

void Head::wait_for_gate() {
  while (closed_) gate_opened_.wait(gate_);
}

void Head::fetch(const WouldBlock& missing) {
  if (missing.probed) return cache_.objects().probe(missing.digest, Wait::kAllowed);
  // Into the object cache: what is missing may be a node or a file's content.
  cache_.objects().read(missing.digest, Wait::kAllowed);
}

}  // namespace varve
