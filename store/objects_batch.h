// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "store/commit_delta.h"
#include "store/objects.h"

namespace varve {

class LocalObjects;

/// The ObjectsBatch of LocalObjects, with what Store::commit needs.
///
/// The commit of a batch is: take_delta, sync_segments, the commit record with the encoded delta
/// in the journal and flushed, LocalObjects::apply, and only then the end of the batch: until then
/// it keeps reclaim away from the segments and objects that it counts on.
///
/// put, retain, release and read may be called from several threads; the other calls when those
/// have returned. It must end before its LocalObjects.
class LocalBatch final : public ObjectsBatch {
 public:
  explicit LocalBatch(LocalObjects& objects);
  ~LocalBatch() override;

  using ObjectsBatch::put;
  Stored put(ByteView content, ObjectKind kind, Effort effort) override;
  Stored retain(const Digest& digest) override;
  void release(const Digest& digest) override;
  SharedBytes read(const Digest& digest, Wait wait) override;

  /// The change to the index that commit `csn` makes, checked against the objects there are.
  /// Throws CorruptionError if an object would be released more often than born. To be called
  /// once, by the committing thread; commits are serialized by the caller.
  CommitDelta take_delta(Csn csn);
  /// Makes every record durable that this batch wrote, and the names of their segments. Throws
  /// StoreError; after a failure all later calls on any batch throw EIO.
  void sync_segments();
  /// True if nothing was put, retained or released.
  bool empty() const;

 private:
  struct State;

  /// Counts a birth of an object whose place the batch knows; empty if it does not.
  std::optional<Stored> count_birth(const Digest& digest);
  struct Writing {
    ObjectKind kind;
    Effort effort;
    bool heals;  ///< of a damaged object
  };
  Stored write(const Digest& digest, ByteView content, const Writing& how);

  LocalObjects& objects_;
  std::unique_ptr<State> state_;
};

}  // namespace varve
