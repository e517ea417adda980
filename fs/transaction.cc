// SPDX-License-Identifier: Apache-2.0
#include "fs/transaction.h"

#include <cerrno>
#include <limits>
#include <set>
#include <utility>

#include "fs/merge_scan.h"
#include "store/base/error.h"

namespace varve {
namespace {

constexpr Key kCountersKey{kHeadIno, Kind::kHeadInfo, 0};

constexpr Key inode_key(Ino ino) { return {ino, Kind::kInode, 0}; }

}  // namespace

Transaction::Transaction(Head& head) : head_(head) {}

std::optional<Bytes> Transaction::find(const Key& key) {
  head_.gate().assert_held();
  if (const auto found = records_.find(key); found != records_.end()) return found->second;
  return head_.find(key);
}

void Transaction::set(const Key& key, Bytes value) { records_[key] = std::move(value); }

void Transaction::erase(const Key& key) { records_[key] = std::nullopt; }

void Transaction::scan(const Key& first, const Key& last,
                       const std::function<bool(const Key&, ByteView)>& visit) {
  head_.gate().assert_held();
  std::vector<const RecordMap*> layers{&records_, &head_.active().records()};
  const std::deque<Frozen>& frozen = head_.frozen();
  for (auto at = frozen.rbegin(); at != frozen.rend(); ++at) {
    layers.push_back(&at->overlay->records());
  }
  merge_scan(layers, head_.base()->tree, first, last, visit);
}

std::optional<InodeRecord> Transaction::find_inode(Ino ino) {
  const std::optional<Bytes> bytes = find(inode_key(ino));
  if (!bytes) return std::nullopt;
  return InodeRecord::decode(*bytes);
}

InodeRecord Transaction::inode(Ino ino) {
  std::optional<InodeRecord> record = find_inode(ino);
  if (!record) throw PosixError(ESTALE);
  return *std::move(record);
}

void Transaction::set_inode(Ino ino, const InodeRecord& record) {
  set(inode_key(ino), record.encode());
}

HeadInfoRecord& Transaction::head_info() {
  if (!head_info_) {
    const std::optional<Bytes> bytes = find(kCountersKey);
    head_info_ = bytes ? HeadInfoRecord::decode(*bytes) : HeadInfoRecord{};
    head_info_before_ = *head_info_;
  }
  return *head_info_;
}

Ino Transaction::new_ino() { return Ino{head_info().next_ino++}; }

void Transaction::write(Ino ino, std::uint64_t offset, ByteView data) {
  data_.push_back({DataChange::What::kWrite, ino, offset, data.size(), data, {}});
}

void Transaction::punch(Ino ino, std::uint64_t offset, std::uint64_t size) {
  data_.push_back({DataChange::What::kPunch, ino, offset, size, {}, {}});
}

void Transaction::cut(Ino ino, std::uint64_t size) {
  data_.push_back({DataChange::What::kCut, ino, 0, size, {}, {}});
}

void Transaction::share(Ino ino, std::uint64_t region, const RegionRecord& record) {
  data_.push_back({DataChange::What::kShare, ino, region, 0, {}, record});
}

void Transaction::drop_data(Ino ino) {
  data_.push_back({DataChange::What::kDrop, ino, 0, 0, {}, {}});
}

std::vector<Key> Transaction::region_keys(Ino ino, std::size_t limit) {
  head_.gate().assert_held();
  std::set<Key> keys;
  scan({ino, Kind::kRegion, 0}, {ino, Kind::kLinkref, 0}, [&](const Key& key, ByteView) {
    if (keys.size() < limit) keys.insert(key);
    return keys.size() < limit;
  });
  const std::deque<Frozen>& frozen = head_.frozen();
  const Overlay& active = head_.active();
  const auto decided_since = [&](const Key& key, std::size_t generation) {
    for (std::size_t newer = generation; newer < frozen.size(); ++newer) {
      if (frozen[newer].overlay->find(key) != nullptr) return true;
    }
    return active.find(key) != nullptr || records_.contains(key);
  };
  for (std::size_t generation = 0; generation < frozen.size(); ++generation) {
    const FileData* data = frozen[generation].overlay->find_data(ino);
    if (data == nullptr) continue;
    const auto add = [&](std::uint64_t region) {
      const Key key{ino, Kind::kRegion, region};
      if (keys.size() < limit && !decided_since(key, generation + 1)) keys.insert(key);
    };
    for (const auto& block : data->blocks()) add(block.first / kBlocksPerRegion);
    for (const auto& shared : data->shared()) add(shared.first);
  }
  return {keys.begin(), keys.end()};
}

void Transaction::free_inode(Ino ino, const InodeRecord& inode) {
  std::vector<Key> keys = region_keys(ino, std::numeric_limits<std::size_t>::max());
  const auto collect = [&](Kind kind, Kind next_kind) {
    scan({ino, kind, 0}, {ino, next_kind, 0}, [&](const Key& key, ByteView) {
      keys.push_back(key);
      return true;
    });
  };
  if ((inode.flags & InodeFlags::kHasXattr) != 0) collect(Kind::kXattr, Kind::kDirent);
  if ((inode.flags & InodeFlags::kLinkrefs) != 0) {
    scan({ino, Kind::kLinkref, 0}, {Ino{to_integer(ino) + 1}, Kind::kHeadInfo, 0},
         [&](const Key& key, ByteView) {
           keys.push_back(key);
           return true;
         });
  }
  HeadInfoRecord& info = head_info();
  for (const Key& key : keys) erase(key);
  erase(inode_key(ino));
  drop_data(ino);
  --info.inodes;
  info.logical_bytes -= inode.allocated;
}

void Transaction::commit() {
  head_.gate().assert_held();
  if (head_info_) {
    Bytes now = head_info_->encode();
    if (now != head_info_before_.encode()) set(kCountersKey, std::move(now));
  }
  if (records_.empty() && data_.empty()) return;
  if (head_.read_only()) throw PosixError(EROFS);
  request_ = RequestScope::current();
  const Lsn lsn = OperationCodec::append(*this, head_.store().journal());
  head_.requests().applied(request_, lsn);
  Overlay& active = head_.active();
  OperationCodec::apply(*this, active);
  if (!active.first_lsn) active.first_lsn = lsn;
}

}  // namespace varve
