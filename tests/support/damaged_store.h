// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fs/repository_impl.h"
#include "snapshot/node.h"
#include "store/segment_format.h"
#include "tests/support/local_store.h"
#include "tests/support/repository_world.h"
#include "tests/support/temp_directory.h"

namespace varve::test {

/// A repository in a directory, without threads, with what a test needs to damage it and to look at
/// the result. What was read before the damage is in caches: reopen() forgets it.
class DamagedStore {
 public:
  static RepositoryOptions small_options() {
    RepositoryOptions options = RepositoryWorld::default_options();
    options.store.segment_bytes = 1 << 20;
    options.store.journal_file_bytes = 4 << 20;
    options.store.object_cache_bytes = 2 << 20;
    options.store.reserve_bytes = 0;
    options.store.worker_threads = 1;
    options.node_cache_bytes = 8 << 20;
    options.scrub_batch_objects = 64;
    return options;
  }

  explicit DamagedStore(const RepositoryOptions& options = small_options()) : options_(options) {
    open(true);
  }
  ~DamagedStore() {
    if (repository_) close();
  }

  RepositoryImpl& operator*() { return *repository_; }
  RepositoryImpl* operator->() { return repository_.get(); }
  const std::string& path() const { return path_; }
  const RepositoryOptions& options() const { return options_; }

  void open(bool create = false) {
    auto opened = Repository::open(Disk::host(), path_, create, options_);
    repository_.reset(dynamic_cast<RepositoryImpl*>(opened.release()));
  }
  void close() {
    repository_->close();
    repository_.reset();
  }
  /// What kill -9 leaves. Volumes must be gone.
  void kill() { repository_.reset(); }
  void reopen() {
    close();
    open();
  }
  void create_volume(const std::string& name) {
    Repository::CreateVolume request;
    request.name = name;
    repository_->create_volume(request);
  }
  void settle() {
    for (int i = 0; i < 10'000 && repository_->step(); ++i) {
    }
  }
  /// A whole pass.
  ScrubProgress scrub() {
    while (repository_->scrubber().step()) {
    }
    return repository_->scrub_progress();
  }

  std::string segment_path(SegmentId id) const {
    return path_ + "/segments/" + segment_file_name(id);
  }
  /// Flips a bit of the payload that begins at `place`.
  void damage(const Location& place) {
    ASSERT_TRUE(place.present());
    flip_bit(segment_path(place.segment), place.offset + kRecordHeaderBytes + 3, 2);
  }
  std::vector<LiveObject> objects() {
    return repository_->store().check().live_after(std::nullopt, 1'000'000);
  }
  std::optional<LiveObject> object(const Digest& digest) {
    return repository_->store().check().live(digest);
  }
  /// The chunk that holds `content` exactly.
  LiveObject chunk(ByteView content) {
    const std::optional<LiveObject> found = object(digest_of(content));
    EXPECT_TRUE(found) << "no such chunk";
    return found.value_or(LiveObject());
  }
  /// The leaves of the volume's present tree, by the digests of the nodes.
  std::vector<Digest> leaves(const std::string& volume) {
    std::vector<Digest> out;
    const VolumeRow row = repository_->catalog().volume(volume).value();
    collect_leaves(repository_->catalog().node(row.head).root->digest, out);
    return out;
  }

 private:
  void collect_leaves(const Digest& digest, std::vector<Digest>& out) {
    const auto node = Node::decode(repository_->store().objects().read(digest, Wait::kAllowed));
    if (node->is_leaf()) {
      out.push_back(digest);
      return;
    }
    for (std::size_t i = 0; i < node->count(); ++i) collect_leaves(node->child(i).digest, out);
  }

  TempDirectory directory_;
  const std::string path_ = directory_ / "store";
  const RepositoryOptions options_;
  std::unique_ptr<RepositoryImpl> repository_;
};

/// The errno of reading `size` bytes at `offset` of a file; 0 if it succeeds.
inline int read_errno(Volume& volume, const std::string& name, std::uint64_t offset,
                      std::size_t size) {
  return failure_of([&] {
           const Ino ino = volume.lookup(kRootIno, name).value().ino;
           Bytes out(size);
           volume.read(ino, offset, out);
           volume.forget(ino, 1);
         })
      .first;
}

}  // namespace varve::test
