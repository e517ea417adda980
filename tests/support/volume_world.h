// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "fs/attached_volume.h"
#include "fs/attributes.h"
#include "fs/commit_builder.h"
#include "snapshot/node_cache.h"
#include "snapshot/tree_edit.h"
#include "tests/support/memory_store.h"

namespace varve::test {

/// One attached volume over a store in memory, with commits, remounts and crashes at hand: what the
/// repository does for many volumes, for one. The clock shows `now`, which the test moves, unless
/// another one is given.
class VolumeWorld {
 public:
  /// Nodes with few records, so that small volumes have deep trees.
  static constexpr NodeLimits kSmallNodes{600, 200};

  struct Options {
    StoreOptions store;
    std::uint64_t node_cache_bytes = 64 << 20;
    std::function<Time()> clock;
  };

  VolumeWorld() : VolumeWorld(Options{}) {}
  explicit VolumeWorld(const Options& options)
      : options_(options), store_(std::make_unique<MemoryStore>(options.store)) {
    if (!options_.clock) options_.clock = [this] { return now; };
    open_head(false);
    head_->run([&] {
      Transaction transaction(*head_);
      make_root(transaction, 0755, 0, 0, options_.clock());
      transaction.commit();
    });
    attach();
  }

  AttachedVolume& volume() { return *volume_; }
  Head& head() { return *head_; }
  MemoryStore& store() { return *store_; }
  const std::optional<Ptr>& root() const { return root_; }

  /// Freezes without committing; false if nothing was dirty or too much is frozen already.
  bool freeze() {
    std::size_t frozen = 0;
    head_->run([&] {
      head_->gate().assert_held();
      frozen = head_->frozen().size();
    });
    return frozen < Head::kMaxFrozen && head_->freeze(false, {}).has_value();
  }

  /// Commits the oldest frozen generation; false if there is none.
  bool commit_frozen() {
    std::optional<Frozen> frozen;
    std::shared_ptr<const Base> base;
    head_->run([&] {
      head_->gate().assert_held();
      if (!head_->frozen().empty()) frozen = head_->frozen().front();
      base = head_->base();
    });
    if (!frozen) return false;
    auto batch = store_->begin();
    ++txg_;
    const std::vector<Change> changes =
        CommitBuilder({*frozen->overlay, base->tree, store_->objects(), *batch, txg_, 1}).build();
    root_ = edit_tree(*cache_, *batch, root_, changes, {txg_, 0, kSmallNodes, nullptr});
    Bytes bytes;
    ByteWriter out(bytes);
    if (root_) root_->encode(out);
    store_->commit(std::move(batch), bytes, frozen->cut_lsn);
    head_->publish(new_base());
    return true;
  }

  /// Everything is in the tree.
  void commit() {
    while (commit_frozen()) {
    }
    if (freeze()) commit_frozen();
  }

  /// Detaches with all that belongs to it, and attaches again. `resumed` as a takeover does it.
  void remount(bool resumed = false) {
    if (!resumed) {
      volume_->drop_lookups();
      while (volume_->free_orphans_step()) {
      }
    }
    commit();
    volume_.reset();
    head_.reset();
    open_head(false);
    attach(resumed);
  }

  /// The process dies: what the journal holds comes back.
  void crash(bool resumed = false) {
    auto survivor = store_->crash(MemoryStore::Cut::kKill);
    volume_.reset();
    head_.reset();
    cache_.reset();
    store_ = std::move(survivor);
    open_head(true);
    attach(resumed);
  }

  /// The head shows the tree at `root` again. Nothing may be committed afterwards: what only the
  /// newer trees held is not released.
  void roll_back(const std::optional<Ptr>& root) {
    root_ = root;
    head_->close_gate();
    head_->reset(new_base());
    head_->open_gate();
    volume_->rolled_back();
  }

  /// A read-only view of the last commit.
  std::unique_ptr<AttachedVolume> view_commit() {
    auto head = std::make_shared<Head>(*store_, *cache_, VolumeId{1}, new_base(), true);
    return std::make_unique<AttachedVolume>(
        AttachedVolumeSetup{head, options_.clock, {}, {}, false});
  }

  HeadInfoRecord info() {
    return head_->run([&] { return Transaction(*head_).head_info(); });
  }

  /// Every record that the head shows.
  std::vector<std::pair<Key, Bytes>> records() {
    std::vector<std::pair<Key, Bytes>> out;
    head_->run([&] {
      head_->gate().assert_held();
      out.clear();
      head_->scan({}, {Ino{UINT64_MAX}, Kind::kLinkref, UINT64_MAX},
                  [&](const Key& key, ByteView value) {
                    out.emplace_back(key, Bytes(value.begin(), value.end()));
                    return true;
                  });
    });
    return out;
  }

  Time now{1'700'000'000, 5};
  /// Inserted between the head and its volume from the next attach on.
  std::function<void(std::uint64_t)> admit;

 private:
  std::shared_ptr<const Base> new_base() {
    return std::make_shared<const Base>(Base{Tree(*cache_, root_), store_->pin()});
  }
  void open_head(bool replay) {
    if (!cache_) {
      cache_ = std::make_unique<NodeCache>(store_->objects(), options_.node_cache_bytes);
    }
    const Bytes bytes = store_->root();
    root_.reset();
    if (!bytes.empty()) {
      ByteReader in(bytes, "root");
      root_ = Ptr::decode(in);
    }
    head_ = std::make_shared<Head>(*store_, *cache_, VolumeId{1}, new_base(), false);
    if (!replay) return;
    head_->run([&] {
      head_->gate().assert_held();
      store_->replay([&](const JournalRecord& record) {
        head_->gate().assert_held();
        if (record.type != JournalType::kOperation) return;
        OperationCodec::replay(record.payload, head_->active());
        if (!head_->active().first_lsn) head_->active().first_lsn = record.lsn;
      });
    });
  }
  void attach(bool resumed = false) {
    volume_ = std::make_unique<AttachedVolume>(
        AttachedVolumeSetup{head_, options_.clock, admit, {}, resumed});
  }

  Options options_;
  std::unique_ptr<MemoryStore> store_;
  std::unique_ptr<NodeCache> cache_;
  std::optional<Ptr> root_;
  Txg txg_ = 0;
  std::shared_ptr<Head> head_;
  std::unique_ptr<AttachedVolume> volume_;
};

}  // namespace varve::test
