// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "fs/overlay.h"
#include "fs/requests.h"
#include "snapshot/catalog.h"
#include "snapshot/node_cache.h"
#include "snapshot/tree.h"
#include "store/base/mutex.h"
#include "store/base/would_block.h"
#include "store/store.h"

namespace varve {

/// A committed state of a head, kept readable by its pin while anyone holds it.
struct Base {
  Tree tree;
  std::shared_ptr<ReadPin> pin;
};

/// A generation that takes no more changes, waiting for its commit.
struct Frozen {
  std::shared_ptr<const Overlay> overlay;
  Lsn cut_lsn = 0;  ///< operations before it are in this generation or older
};

/// The writable state of one volume, or the read-only state of a snapshot: an immutable base, at
/// most two frozen generations over it, and the active overlay on top. One mutex, the gate, guards
/// all of it; every operation is a short transaction under the gate that never waits for a disk.
/// docs/concurrency.md has the lock order. After close_gate() operations wait until open_gate().
class Head {
 public:
  static constexpr std::size_t kMaxFrozen = 2;

  Head(Store& store, NodeCache& cache, VolumeId volume, std::shared_ptr<const Base> base,
       bool read_only);

  /// Runs `body` under the gate. When it throws WouldBlock, nothing has changed (a Transaction
  /// changes nothing before its commit): the object is read outside the gate and `body` is run
  /// again. Waits first while the gate is closed.
  template <class Body>
  auto run(Body&& body) -> decltype(body());

  Mutex& gate() RETURN_CAPABILITY(gate_) { return gate_; }

  // What follows needs the gate; run() provides it (annotated by the implementation).
  /// The newest record at `key`: active, frozen newest first, base (Wait::kRefused).
  std::optional<Bytes> find(const Key& key) const REQUIRES(gate_);
  /// The newest records with first ≤ key < last, ascending, until `visit` returns false.
  void scan(const Key& first, const Key& last,
            const std::function<bool(const Key&, ByteView)>& visit) const REQUIRES(gate_);
  Overlay& active() REQUIRES(gate_) { return active_; }
  const std::deque<Frozen>& frozen() const REQUIRES(gate_) { return frozen_; }
  const std::shared_ptr<const Base>& base() const REQUIRES(gate_) { return base_; }

  /// Puts `frozen`, oldest first, over the base of a head that is new: what a recovery could not
  /// commit. Of these there may be more than kMaxFrozen.
  void restore(std::deque<Frozen> frozen);

  // Commits; called by the repository's committer only.
  /// Moves the active overlay to the frozen ones, even when empty if `even_if_empty`; calls
  /// `at_cut` under the gate (to append a snapshot's record) and stamps cut_lsn after it. Returns
  /// none if there was nothing to freeze. kMaxFrozen must not be reached yet.
  std::optional<Frozen> freeze(bool even_if_empty, const std::function<void()>& at_cut);
  /// The oldest frozen generation is in `base` now.
  void publish(std::shared_ptr<const Base> base);
  /// Holds the same base by `pin`, so that what died since the old one is held back no longer. The
  /// caller knows that all of the base is alive.
  void renew(std::shared_ptr<ReadPin> pin);
  /// Rollback: forgets everything and shows `base`. The gate must be closed.
  void reset(std::shared_ptr<const Base> base);
  /// New operations wait outside; returns when the running one has left.
  void close_gate();
  void open_gate();

  /// The oldest operation that no commit holds; none if everything is committed.
  std::optional<Lsn> first_uncommitted_lsn() const;
  std::size_t dirty_bytes() const;
  bool read_only() const { return read_only_; }
  VolumeId volume() const { return volume_; }
  /// Of the mount that uses this head.
  Requests& requests() const { return requests_; }
  Store& store() const { return store_; }

 private:
  void wait_for_gate() REQUIRES(gate_);
  void fetch(const WouldBlock& missing) EXCLUDES(gate_);

  Store& store_;
  NodeCache& cache_;
  const VolumeId volume_;
  const bool read_only_;
  mutable Requests requests_;
  mutable Mutex gate_;
  CondVar gate_opened_;
  bool closed_ GUARDED_BY(gate_) = false;
  std::shared_ptr<const Base> base_ GUARDED_BY(gate_);
  std::deque<Frozen> frozen_ GUARDED_BY(gate_);  ///< oldest first
  Overlay active_ GUARDED_BY(gate_);
};

template <class Body>
auto Head::run(Body&& body) -> decltype(body()) {
  for (;;) {
    WouldBlock missing;
    std::shared_ptr<const Base> held;  // what is missing stays readable until it was fetched
    {
      MutexLock lock(gate_);
      wait_for_gate();
      try {
        return body();
      } catch (const WouldBlock& would_block) {
        missing = would_block;
        held = base_;
      }
    }
    fetch(missing);
  }
}

}  // namespace varve
