// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "store/base/error.h"
#include "store/store.h"
#include "tests/support/fault_disk.h"
#include "tests/support/temp_directory.h"

namespace varve::test {

/// Options that make everything small: rings turn and segments fill within a test.
inline StoreOptions small_options() {
  StoreOptions options;
  options.segment_bytes = 256 * 1024;
  options.journal_file_bytes = 64 * 1024;
  options.journal_files_max = 4;
  options.object_cache_bytes = 1 << 20;
  options.reserve_bytes = 0;
  options.worker_threads = 1;
  return options;
}

/// Bytes that differ for each seed and do not compress.
inline Bytes noise(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  Bytes out(size);
  for (std::byte& byte : out) byte = static_cast<std::byte>(random());
  return out;
}

/// What a store must hold after a commit.
struct ExpectedCommit {
  std::string root;
  std::map<Digest, std::uint64_t> references;
  std::size_t replay_index = 0;  ///< of the first operation that is to be replayed
};

/// Drives a store and remembers what it must hold.
class StoreModel {
 public:
  explicit StoreModel(std::uint64_t seed = 1) : random_(seed) { commits_[0] = {}; }

  /// Appends an operation; its text is its number.
  Lsn append(Store& store) {
    const std::string text = "operation " + std::to_string(lsns_.size());
    const Lsn lsn = store.journal().append(JournalType::kOperation, {as_bytes(text)});
    lsns_.push_back(lsn);
    return lsn;
  }

  /// Commits a few births and deaths; everything appended so far need not be replayed.
  Csn commit(Store& store) {
    ExpectedCommit next = commits_.rbegin()->second;
    std::unique_ptr<ObjectsBatch> batch = store.begin();
    for (std::uint64_t i = random_() % 4 + 1; i > 0; --i) {
      const std::uint64_t seed = random_() % 40;
      const ObjectKind kind = seed % 3 == 0 ? ObjectKind::kMetadata : ObjectKind::kData;
      ++next.references[batch->put(noise(seed, 100 + seed * 150), kind).digest];
    }
    release_some(*batch, next);
    next.replay_index = lsns_.size();
    const Csn csn = commits_.rbegin()->first + 1;
    next.root = "root of commit " + std::to_string(csn);
    // Known before it is durable: a crash may leave it.
    commits_[csn] = next;
    const Csn done = store.commit(std::move(batch), as_bytes(next.root), store.journal().end());
    EXPECT_EQ(done, csn);
    return done;
  }

  const ExpectedCommit& at(Csn csn) const { return commits_.at(csn); }
  std::size_t appended() const { return lsns_.size(); }
  /// The state that a reopened store was found in is the truth from here on.
  void settle(Csn csn, std::size_t operations) {
    commits_.erase(commits_.upper_bound(csn), commits_.end());
    lsns_.resize(operations);
  }

  /// Recounts if the store asks for it, and compares everything; gives the number of operations.
  std::size_t check(Store& store) {
    const Csn csn = store.csn();
    EXPECT_TRUE(commits_.contains(csn)) << "commit " << csn;
    const ExpectedCommit& expected = commits_.at(csn);
    EXPECT_EQ(as_text(store.root()), expected.root);
    std::size_t next = expected.replay_index;
    store.replay([&](const JournalRecord& record) {
      EXPECT_EQ(as_text(record.payload), "operation " + std::to_string(next));
      ++next;
    });
    if (store.needs_references()) recount(store, expected);
    std::map<Digest, std::uint64_t> found;
    store.visit_references(
        [&](const Digest& digest, std::uint64_t count) { found[digest] = count; });
    EXPECT_EQ(found, expected.references);
    for (const auto& [digest, count] : expected.references) {
      EXPECT_NO_THROW(store.objects().read(digest, Wait::kAllowed)) << digest.hex();
    }
    return next;
  }

 private:
  void release_some(ObjectsBatch& batch, ExpectedCommit& next) {
    for (auto at = next.references.begin(); at != next.references.end();) {
      if (random_() % 5 != 0) {
        ++at;
        continue;
      }
      batch.release(at->first);
      at = --at->second == 0 ? next.references.erase(at) : std::next(at);
    }
  }
  static void recount(Store& store, const ExpectedCommit& expected) {
    store.set_references([&](const std::function<void(const Digest&)>& born) {
      for (const auto& [digest, count] : expected.references) {
        for (std::uint64_t i = 0; i < count; ++i) born(digest);
      }
    });
    EXPECT_FALSE(store.needs_references());
  }

  std::mt19937_64 random_;
  std::vector<Lsn> lsns_;
  std::map<Csn, ExpectedCommit> commits_;
};

/// A store in a temporary directory on a disk with faults.
class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { Store::create(disk_, path_, options_); }

  Store& open() {
    store_.reset();
    store_ = Store::open(disk_, path_, options_);
    return *store_;
  }
  /// What kill -9 leaves.
  void kill() { store_.reset(); }

  int open_code() {
    try {
      open();
    } catch (const Error& error) {
      message_ = error.what();
      return error.code();
    }
    return 0;
  }
  std::vector<std::string> journal_files() const {
    std::vector<std::string> out;
    for (const std::string& name : disk_.list(path_ + "/journal")) {
      out.push_back(path_ + "/journal/" + name);
    }
    return out;
  }
  static void overwrite(const std::string& path, ByteView bytes, std::uint64_t offset = 0) {
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(offset));
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
  static Bytes read_all(const std::string& path) { return Disk::host().read_file(path, 1 << 26); }

  TempDirectory directory_;
  FaultDisk disk_;
  StoreOptions options_ = small_options();
  const std::string path_ = directory_ / "store";
  std::string message_;
  StoreModel model_;
  std::unique_ptr<Store> store_;
};

}  // namespace varve::test
