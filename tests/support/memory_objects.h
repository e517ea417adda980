// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "store/base/error.h"
#include "store/base/mutex.h"
#include "store/objects.h"

namespace varve::test {

class MemoryBatch;

/// Objects in memory with exact reference counts, for tests of the layers above. It is stricter
/// than the store: a release without its birth, a birth of an object that is dead or unknown, and
/// a read of what was reclaimed are errors at once. Dead objects stay readable until reclaim().
/// Safe to share between threads. Batches must not outlive it.
class MemoryObjects : public Objects {
 public:
  /// What one object costs on top of its content, as the record's header would.
  static constexpr std::uint32_t kHeaderBytes = 56;

  SharedBytes read(const Digest& digest, Wait wait) override {
    const MutexLock lock(mutex_);
    return read_locked(digest, wait);
  }

  std::unique_ptr<ObjectsBatch> begin();
  /// Applies the batch: births, then releases. Throws std::logic_error and changes nothing when a
  /// release has no birth to take back. Objects that die with it have died at `csn`.
  void commit(std::unique_ptr<ObjectsBatch> batch, std::uint64_t csn = 0);

  /// While on, a read with Wait::kRefused throws WouldBlock until the object has been read with
  /// Wait::kAllowed once. Switching it (again) forgets what had been read.
  void refuse_first_touch(bool on) {
    const MutexLock lock(mutex_);
    refuse_first_touch_ = on;
    touched_.clear();
  }
  /// Makes every later read of `digest` throw CorruptionError; a put of the content heals it.
  void damage(const Digest& digest) {
    const MutexLock lock(mutex_);
    damaged_.insert(digest);
  }
  void heal(const Digest& digest) {
    const MutexLock lock(mutex_);
    damaged_.erase(digest);
  }
  /// Forgets objects that died at or before `csn`. Returns their stored bytes.
  std::uint64_t reclaim(std::uint64_t csn = UINT64_MAX) {
    const MutexLock lock(mutex_);
    std::uint64_t bytes = 0;
    for (auto at = objects_.begin(); at != objects_.end();) {
      if (at->second.references > 0 || at->second.died_at > csn) {
        ++at;
        continue;
      }
      bytes += at->second.content->size() + kHeaderBytes;
      at = objects_.erase(at);
    }
    return bytes;
  }

  /// Live objects and their birth events.
  std::map<Digest, std::uint64_t> references() const {
    const MutexLock lock(mutex_);
    std::map<Digest, std::uint64_t> out;
    for (const auto& [digest, entry] : objects_) {
      if (entry.references > 0) out[digest] = entry.references;
    }
    return out;
  }
  std::uint64_t references(const Digest& digest) const {
    const MutexLock lock(mutex_);
    const auto at = objects_.find(digest);
    return at == objects_.end() ? 0 : at->second.references;
  }
  /// What damage() was told and no put has healed.
  std::vector<Digest> damaged() const {
    const MutexLock lock(mutex_);
    return {damaged_.begin(), damaged_.end()};
  }
  bool is_damaged(const Digest& digest) const {
    const MutexLock lock(mutex_);
    return damaged_.contains(digest);
  }
  /// Of one object; 0 if there is none.
  std::uint64_t stored_bytes(const Digest& digest) const {
    const MutexLock lock(mutex_);
    const auto at = objects_.find(digest);
    return at == objects_.end() ? 0 : at->second.content->size() + kHeaderBytes;
  }
  /// Replaces all counts; objects not named are dead. Throws CorruptionError for an unknown one.
  void set_references(const std::map<Digest, std::uint64_t>& counts) {
    const MutexLock lock(mutex_);
    for (auto& [digest, entry] : objects_) entry.references = 0;
    for (const auto& [digest, count] : counts) {
      const auto at = objects_.find(digest);
      if (at == objects_.end()) throw CorruptionError("object " + digest.hex() + " is missing");
      at->second.references = count;
    }
  }
  /// Stored bytes of the live objects.
  std::uint64_t live_bytes() const {
    const MutexLock lock(mutex_);
    std::uint64_t bytes = 0;
    for (const auto& [digest, entry] : objects_) {
      if (entry.references > 0) bytes += entry.content->size() + kHeaderBytes;
    }
    return bytes;
  }
  /// Reads since construction, refused ones not counted.
  std::uint64_t reads() const {
    const MutexLock lock(mutex_);
    return reads_;
  }
  /// Contents that a commit had to store, since construction: deduplicated ones not counted.
  std::uint64_t contents_stored() const {
    const MutexLock lock(mutex_);
    return contents_stored_;
  }
  /// An independent copy of objects and counts, for a simulated crash.
  std::unique_ptr<MemoryObjects> clone() const {
    auto out = std::make_unique<MemoryObjects>();
    const MutexLock lock(mutex_);
    const MutexLock out_lock(out->mutex_);
    out->objects_ = objects_;
    out->damaged_ = damaged_;
    return out;
  }

 private:
  friend class MemoryBatch;
  struct Entry {
    SharedBytes content;
    std::uint64_t references = 0;
    std::uint64_t died_at = 0;
  };

  SharedBytes read_locked(const Digest& digest, Wait wait) REQUIRES(mutex_) {
    if (wait == Wait::kRefused && refuse_first_touch_ && !touched_.contains(digest)) {
      throw WouldBlock{digest};
    }
    const auto at = objects_.find(digest);
    if (at == objects_.end()) throw CorruptionError("object " + digest.hex() + " is missing");
    if (damaged_.contains(digest)) throw CorruptionError("object " + digest.hex() + " is damaged");
    if (refuse_first_touch_) touched_.insert(digest);
    ++reads_;
    return at->second.content;
  }

  mutable Mutex mutex_;
  std::unordered_map<Digest, Entry> objects_ GUARDED_BY(mutex_);
  std::set<Digest> touched_ GUARDED_BY(mutex_);
  std::set<Digest> damaged_ GUARDED_BY(mutex_);
  bool refuse_first_touch_ GUARDED_BY(mutex_) = false;
  std::uint64_t reads_ GUARDED_BY(mutex_) = 0;
  std::uint64_t contents_stored_ GUARDED_BY(mutex_) = 0;
};

/// A batch of MemoryObjects. Lock order: the batch's mutex before the objects' mutex.
class MemoryBatch : public ObjectsBatch {
 public:
  explicit MemoryBatch(MemoryObjects& objects) : objects_(objects) {}

  using ObjectsBatch::put;
  Stored put(ByteView content, ObjectKind, Effort) override {
    if (content.empty() || content.size() > kMaxObjectBytes) {
      throw std::logic_error("an object has 1 to kMaxObjectBytes bytes");
    }
    const Digest digest = digest_of(content);
    const MutexLock lock(mutex_);
    Change& change = changes_[digest];
    ++change.births;
    if (!change.content) {
      change.content = std::make_shared<const Bytes>(content.begin(), content.end());
    }
    return stored(digest, content.size());
  }

  Stored retain(const Digest& digest) override {
    const MutexLock lock(mutex_);
    const auto own = changes_.find(digest);
    if (own != changes_.end() && own->second.content) {
      ++own->second.births;
      return stored(digest, own->second.content->size());
    }
    std::size_t size = 0;
    {
      const MutexLock objects_lock(objects_.mutex_);
      const auto at = objects_.objects_.find(digest);
      if (at == objects_.objects_.end() || at->second.references == 0) {
        throw CorruptionError("retain of " + digest.hex() + ": no such live object");
      }
      size = at->second.content->size();
    }
    ++changes_[digest].births;
    return stored(digest, size);
  }

  void release(const Digest& digest) override {
    const MutexLock lock(mutex_);
    ++changes_[digest].releases;
  }

  SharedBytes read(const Digest& digest, Wait wait) override {
    const MutexLock lock(mutex_);
    const auto own = changes_.find(digest);
    if (own != changes_.end() && own->second.content) return own->second.content;
    return objects_.read(digest, wait);
  }

  /// Births and releases so far, in all.
  std::pair<std::uint64_t, std::uint64_t> counts() const {
    const MutexLock lock(mutex_);
    std::pair<std::uint64_t, std::uint64_t> out{0, 0};
    for (const auto& [digest, change] : changes_) {
      out.first += change.births;
      out.second += change.releases;
    }
    return out;
  }

 private:
  friend class MemoryObjects;
  struct Change {
    SharedBytes content;  // null unless put
    std::uint64_t births = 0;
    std::uint64_t releases = 0;
  };

  static Stored stored(const Digest& digest, std::size_t size) {
    const auto data_bytes = static_cast<std::uint32_t>(size);
    return {digest, data_bytes + MemoryObjects::kHeaderBytes, data_bytes};
  }

  MemoryObjects& objects_;
  mutable Mutex mutex_;
  std::map<Digest, Change> changes_ GUARDED_BY(mutex_);
};

inline std::unique_ptr<ObjectsBatch> MemoryObjects::begin() {
  return std::make_unique<MemoryBatch>(*this);
}

inline void MemoryObjects::commit(std::unique_ptr<ObjectsBatch> batch, std::uint64_t csn) {
  auto* const own = dynamic_cast<MemoryBatch*>(batch.get());
  if (own == nullptr || &own->objects_ != this) throw std::logic_error("batch of other objects");
  const MutexLock batch_lock(own->mutex_);
  const MutexLock lock(mutex_);
  for (const auto& [digest, change] : own->changes_) {
    const auto at = objects_.find(digest);
    const std::uint64_t before = at == objects_.end() ? 0 : at->second.references;
    if (before + change.births < change.releases) {
      throw std::logic_error("release of " + digest.hex() +
                             " without a birth: " + std::to_string(before) + " references, " +
                             std::to_string(change.births) + " births, " +
                             std::to_string(change.releases) + " releases");
    }
  }
  for (const auto& [digest, change] : own->changes_) {
    Entry& entry = objects_[digest];
    if (change.content) {
      if (!entry.content) ++contents_stored_;
      entry.content = change.content;
      damaged_.erase(digest);
    }
    entry.references = entry.references + change.births - change.releases;
    if (entry.references == 0) entry.died_at = csn;
  }
}

}  // namespace varve::test
