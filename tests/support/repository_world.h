// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/repository_impl.h"
#include "tests/support/memory_store.h"

namespace varve::test {

/// A repository over a store in memory without threads: the test says when it commits, cleans,
/// crashes. Volumes must be dropped before crash() and reopen().
class RepositoryWorld {
 public:
  explicit RepositoryWorld(const RepositoryOptions& options = default_options())
      : options_(options) {
    if (!options_.clock) options_.clock = [time = time_] { return Time{++*time, 0}; };
    open(std::make_unique<MemoryStore>(options_.store));
  }

  static RepositoryOptions default_options() {
    RepositoryOptions options;
    options.background = false;
    options.commit_interval_ms = 0;
    return options;
  }

  RepositoryImpl& operator*() { return *repository_; }
  RepositoryImpl* operator->() { return repository_.get(); }
  MemoryStore& store() { return *store_; }

  /// `drop_volumes` runs when the crash has happened, to let go of the handles; `prepare` before
  /// the store is opened again.
  void crash(MemoryStore::Cut cut = MemoryStore::Cut::kKill,
             const std::function<void()>& drop_volumes = {},
             const std::function<void(MemoryStore&)>& prepare = {}) {
    std::unique_ptr<MemoryStore> survivor = store_->crash(cut);
    if (drop_volumes) drop_volumes();
    repository_.reset();
    if (prepare) prepare(*survivor);
    open(std::move(survivor));
  }
  /// A killed process; the next one opens the store with `options`.
  void crash_into(const RepositoryOptions& options, const std::function<void()>& drop_volumes) {
    const std::function<Time()> clock = options_.clock;
    options_ = options;
    options_.clock = clock;
    crash(MemoryStore::Cut::kKill, drop_volumes);
  }
  void reopen() {
    repository_->close();
    crash();
  }
  /// All background work.
  void settle() {
    for (int i = 0; i < 10'000 && repository_->step(); ++i) {
    }
  }
  /// The birth events of the store are those that the trees have.
  std::map<Digest, std::uint64_t> counted() {
    std::map<Digest, std::uint64_t> out;
    repository_->catalog().count_births([&](const Digest& digest) { ++out[digest]; });
    return out;
  }

 private:
  void open(std::unique_ptr<MemoryStore> store) {
    store_ = store.get();
    repository_ = std::make_unique<RepositoryImpl>(std::move(store), options_);
  }

  RepositoryOptions options_;
  std::shared_ptr<std::int64_t> time_ = std::make_shared<std::int64_t>(1'700'000'000);
  MemoryStore* store_ = nullptr;
  std::unique_ptr<RepositoryImpl> repository_;
};

inline Bytes pattern(std::size_t size, unsigned seed) {
  Bytes out(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : out) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return out;
}

inline void write_file(Volume& volume, const std::string& name, ByteView data,
                       std::uint64_t offset = 0) {
  const auto found = volume.lookup(kRootIno, name);
  const Ino ino = found ? found->ino : volume.make_node(kRootIno, name, S_IFREG | 0644, 0, {}).ino;
  volume.write(ino, offset, data, false);
  volume.forget(ino, 1);
}

/// The content; "(none)" as bytes if there is no such file.
inline Bytes read_file(Volume& volume, const std::string& name) {
  const auto found = volume.lookup(kRootIno, name);
  if (!found) {
    const ByteView none = as_bytes("(none)");
    return Bytes(none.begin(), none.end());
  }
  Bytes out(found->size);
  out.resize(volume.read(found->ino, 0, out));
  volume.forget(found->ino, 1);
  return out;
}

inline void remove_file(Volume& volume, const std::string& name) { volume.unlink(kRootIno, name); }

/// The errno and sentence that `body` throws; {0, ""} if it does not.
template <class Body>
std::pair<int, std::string> failure_of(Body&& body) {
  try {
    body();
    return {0, ""};
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
}

}  // namespace varve::test
