// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/local_objects.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve::test {

/// `size` bytes that compress well and differ for each `seed`.
inline Bytes text_content(std::uint64_t seed, std::size_t size) {
  const std::string line = "content " + std::to_string(seed) + " of an object; ";
  Bytes out;
  while (out.size() < size) {
    const ByteView bytes = as_bytes(line);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  out.resize(size);
  return out;
}

/// `size` bytes that do not compress.
inline Bytes random_content(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed * 2 + 1);
  Bytes out(size + sizeof(std::uint64_t));
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(out.data() + at, &word, sizeof word);
  }
  out.resize(size);
  return out;
}

/// LocalObjects in a directory of their own, on a disk that can fail, with commits that stand for
/// the journal: what was committed is applied again by reopen().
class LocalStore {
 public:
  static StoreOptions small_options() {
    StoreOptions options;
    options.segment_bytes = 1 << 20;
    options.object_cache_bytes = 4 << 20;
    return options;
  }

  explicit LocalStore(const StoreOptions& options = small_options()) : options_(options) {
    for (std::size_t i = 0; i < id_.size(); ++i) id_[i] = static_cast<std::byte>(i * 7 + 1);
    LocalObjects::create(disk_, paths(), id_);
    open();
    objects_->finish_recovery(0);
  }

  LocalObjects& operator*() { return *objects_; }
  LocalObjects* operator->() { return objects_.get(); }
  FaultPlan& plan() { return disk_.plan(); }
  FaultDisk& disk() { return disk_; }
  const StoreId& id() const { return id_; }
  StoreOptions& options() { return options_; }
  LocalObjects::Paths paths() const { return {directory_ / "segments", directory_ / "index.db"}; }
  std::vector<std::string> segment_paths() {
    std::vector<std::string> out;
    for (const std::string& name : Disk::host().list(paths().segments)) {
      out.push_back(paths().segments + "/" + name);
    }
    return out;
  }
  Csn csn() const { return csn_; }

  /// Commits `batch`; when it throws, nothing was committed.
  Csn commit(std::unique_ptr<LocalBatch> batch) {
    const CommitDelta delta = batch->take_delta(csn_ + 1);
    batch->sync_segments();
    journal_.push_back(delta.encode());
    ++csn_;
    objects_->apply(delta);
    return csn_;
  }
  Digest commit_one(const Bytes& content, ObjectKind kind = ObjectKind::kData) {
    auto batch = objects_->begin();
    const Digest digest = batch->put(content, kind).digest;
    commit(std::move(batch));
    return digest;
  }
  void commit_release(const Digest& digest) {
    auto batch = objects_->begin();
    batch->release(digest);
    commit(std::move(batch));
  }

  /// Ends the process as a crash does, without recovery.
  void crash() { objects_.reset(); }
  /// The begin of the next process, up to the point where recovery applies commits.
  void open() { objects_ = std::make_unique<LocalObjects>(disk_, paths(), id_, options_); }
  void recover() {
    if (!objects_->needs_references()) {
      for (const Bytes& bytes : journal_) objects_->apply(CommitDelta::decode(bytes));
    }
    objects_->finish_recovery(csn_);
  }
  void reopen() {
    crash();
    open();
    recover();
  }
  void close_and_reopen() {
    objects_->close();
    reopen();
  }

  std::map<Digest, std::uint64_t> references() {
    std::map<Digest, std::uint64_t> out;
    objects_->visit_references(
        [&](const Digest& digest, std::uint64_t count) { out.emplace(digest, count); });
    return out;
  }
  /// The content; set options().object_cache_bytes to 0 to read the disk each time.
  Bytes read(const Digest& digest) { return *objects_->read(digest, Wait::kAllowed); }

 private:
  TempDirectory directory_;
  FaultDisk disk_;
  StoreOptions options_;
  StoreId id_{};
  std::unique_ptr<LocalObjects> objects_;
  std::vector<Bytes> journal_;
  Csn csn_ = 0;
};

/// Flips one bit of the byte at `offset` of the file at `path`.
inline void flip_bit(const std::string& path, std::uint64_t offset, unsigned bit = 0) {
  const std::unique_ptr<File> file = Disk::host().open(path, Disk::Mode::kReadWrite);
  std::byte byte{};
  file->read_at(offset, {&byte, 1});
  byte ^= static_cast<std::byte>(1u << bit);
  file->write_at(offset, {&byte, 1});
}

}  // namespace varve::test
