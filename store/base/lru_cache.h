// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>

#include "store/base/mutex.h"

namespace varve {

/// A bounded map of shared, immutable values that forgets what was not used for longest.
///
/// Split into shards by hash, each with its own lock and an equal part of the capacity, so that
/// threads seldom meet. A value that a reader holds stays alive after the cache has dropped it; the
/// capacity counts what the cache itself holds. Safe to share between threads. `Hash` must be
/// spread over all bits of its result or at least differ between keys; the shard is taken from a
/// mixed copy of it.
template <class Key, class Value, class Hash = std::hash<Key>>
class LruCache {
 public:
  using Pointer = std::shared_ptr<const Value>;

  /// `capacity_bytes` 0 keeps nothing.
  explicit LruCache(std::size_t capacity_bytes)
      : shard_capacity_bytes_((capacity_bytes + kShards - 1) / kShards) {}
  LruCache(const LruCache&) = delete;
  LruCache& operator=(const LruCache&) = delete;

  /// The value of `key`, which becomes the most recently used one of its shard; null if absent.
  Pointer find(const Key& key) {
    Shard& shard = shard_of(key);
    const MutexLock lock(shard.mutex);
    const auto found = shard.index.find(key);
    if (found == shard.index.end()) {
      ++shard.misses;
      return nullptr;
    }
    ++shard.hits;
    shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
    return found->second->value;
  }

  /// Like find, but leaves order and figures alone.
  Pointer peek(const Key& key) const {
    const Shard& shard = shard_of(key);
    const MutexLock lock(shard.mutex);
    const auto found = shard.index.find(key);
    return found == shard.index.end() ? nullptr : found->second->value;
  }

  /// Remembers `value`, which weighs `bytes`, in place of any earlier value of `key`. A value
  /// heavier than a whole shard is not kept.
  void insert(const Key& key, Pointer value, std::size_t bytes) {
    Shard& shard = shard_of(key);
    std::list<Entry> dropped;  // destroyed after the lock is released
    const MutexLock lock(shard.mutex);
    remove(shard, key, dropped);
    if (bytes > shard_capacity_bytes_) return;
    while (shard.bytes + bytes > shard_capacity_bytes_) {
      remove(shard, Key(shard.entries.back().key), dropped);
    }
    shard.entries.push_front(Entry{key, std::move(value), bytes});
    shard.index.emplace(key, shard.entries.begin());
    shard.bytes += bytes;
  }

  void erase(const Key& key) {
    Shard& shard = shard_of(key);
    std::list<Entry> dropped;
    const MutexLock lock(shard.mutex);
    remove(shard, key, dropped);
  }

  void clear() {
    for (Shard& shard : shards_) {
      std::list<Entry> dropped;
      const MutexLock lock(shard.mutex);
      dropped.swap(shard.entries);
      shard.index.clear();
      shard.bytes = 0;
    }
  }

  std::size_t capacity_bytes() const { return shard_capacity_bytes_ * kShards; }
  std::size_t resident_bytes() const { return sum(&Shard::bytes); }
  /// Finds since construction that found, and that did not.
  std::uint64_t hits() const { return sum(&Shard::hits); }
  std::uint64_t misses() const { return sum(&Shard::misses); }

 private:
  static constexpr std::size_t kShards = 16;

  struct Entry {
    Key key;
    Pointer value;
    std::size_t bytes;
  };
  struct alignas(64) Shard {
    mutable Mutex mutex;
    std::list<Entry> entries GUARDED_BY(mutex);  // most recently used first
    std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> index GUARDED_BY(mutex);
    std::size_t bytes GUARDED_BY(mutex) = 0;
    std::uint64_t hits GUARDED_BY(mutex) = 0;
    std::uint64_t misses GUARDED_BY(mutex) = 0;
  };

  std::size_t shard_index(const Key& key) const {
    // Fibonacci mixing: the top bits choose the shard, the map's buckets use the low ones.
    const std::uint64_t mixed = static_cast<std::uint64_t>(Hash{}(key)) * 0x9E3779B97F4A7C15ull;
    return static_cast<std::size_t>(mixed >> 60);
  }
  Shard& shard_of(const Key& key) { return shards_[shard_index(key)]; }
  const Shard& shard_of(const Key& key) const { return shards_[shard_index(key)]; }

  static void remove(Shard& shard, const Key& key, std::list<Entry>& dropped)
      REQUIRES(shard.mutex) {
    const auto found = shard.index.find(key);
    if (found == shard.index.end()) return;
    shard.bytes -= found->second->bytes;
    dropped.splice(dropped.begin(), shard.entries, found->second);
    shard.index.erase(found);
  }

  template <class T>
  T sum(T Shard::*figure) const {
    T total = 0;
    for (const Shard& shard : shards_) {
      const MutexLock lock(shard.mutex);
      total += shard.*figure;
    }
    return total;
  }

  const std::size_t shard_capacity_bytes_;
  std::array<Shard, kShards> shards_;
};

}  // namespace varve
