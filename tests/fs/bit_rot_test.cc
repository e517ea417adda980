// SPDX-License-Identifier: Apache-2.0
// Random bits flip anywhere in a store's files: nothing wrong is ever read, what cannot be read is
// named, and writing it again heals it. VARVE_SEED=N runs one seed; docs/seeds.md.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "fs/fsck.h"
#include "tests/support/damaged_store.h"

namespace varve::test {
namespace {

class BitRot : public testing::TestWithParam<std::uint64_t> {
 protected:
  static constexpr unsigned kFiles = 40;

  std::uint64_t seed() const {
    const char* given = std::getenv("VARVE_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : GetParam();
  }

  void fill() {
    store_.create_volume("a");
    const auto volume = store_->attach("a");
    for (unsigned i = 0; i < kFiles; ++i) {
      const std::size_t size = random_() % 5 == 0 ? random_() % 900 : random_() % 200'000;
      contents_["f" + std::to_string(i)] = pattern(size + 1, static_cast<unsigned>(random_()));
    }
    for (const auto& [name, content] : contents_) write_file(*volume, name, content);
    store_->create_snapshot("a", "s", {});
    in_snapshot_ = contents_;
    for (unsigned i = 0; i < kFiles; i += 3) {
      Bytes& content = contents_["f" + std::to_string(i)];
      content = pattern(content.size(), static_cast<unsigned>(random_()));
      write_file(*volume, "f" + std::to_string(i), content);
    }
  }

  void flip_in(const std::string& path) {
    const std::uint64_t size = std::filesystem::file_size(path);
    if (size == 0) return;
    flip_bit(path, random_() % size, static_cast<unsigned>(random_() % 8));
  }
  void flip_anywhere(int flips) {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(store_.path())) {
      const std::string name = entry.path().filename();
      if (entry.is_regular_file() && name != "FORMAT" && name != "lock") {
        files.push_back(entry.path());
      }
    }
    std::sort(files.begin(), files.end());
    for (int i = 0; i < flips; ++i) flip_in(files[random_() % files.size()]);
  }

  /// Opens what was damaged. A refusal must be a sentence about damage.
  bool opens() {
    try {
      store_.open();
      return true;
    } catch (const CorruptionError& error) {
      EXPECT_FALSE(std::string(error.what()).empty());
      return false;
    }
  }

  /// The names that cannot be read in whole; what can be read is right.
  std::set<std::string> unreadable(Volume& volume, const std::map<std::string, Bytes>& wanted) {
    std::set<std::string> out;
    for (const auto& [name, content] : wanted) {
      Bytes found;
      const auto [code, text] = failure_of([&, file = name] { found = read_file(volume, file); });
      if (code == 0) {
        EXPECT_EQ(found, content) << name << " holds something else";
      } else {
        EXPECT_EQ(code, EIO) << text;
        out.insert("/" + name);
      }
    }
    return out;
  }

  void expect_named(const std::set<std::string>& present, const std::set<std::string>& snapshot) {
    std::set<std::string> named_present;
    std::set<std::string> named_snapshot;
    for (const DamagedFile& file : store_->damaged_files()) {
      if (file.in_present) named_present.insert(file.path);
      if (!file.snapshots.empty()) named_snapshot.insert(file.path);
    }
    for (const std::string& path : present) {
      EXPECT_TRUE(named_present.contains(path)) << path;
    }
    for (const std::string& path : snapshot) {
      EXPECT_TRUE(named_snapshot.contains(path)) << path;
    }
  }

  std::mt19937_64 random_;
  DamagedStore store_;
  std::map<std::string, Bytes> contents_;
  std::map<std::string, Bytes> in_snapshot_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, BitRot, testing::Range<std::uint64_t>(1, 25));

TEST_P(BitRot, IsNeverReadAsDataIsNamedAndHeals) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  random_.seed(seed());
  fill();
  const bool clean = random_() % 2 == 0;
  clean ? store_.close() : store_.kill();
  flip_anywhere(static_cast<int>(random_() % 12) + 1);
  if (!opens()) return;  // both superblocks, the journal, or the catalog in both copies

  store_.scrub();
  std::set<std::string> present;
  std::set<std::string> snapshot;
  const auto [code, text] = failure_of([&] {
    present = unreadable(*store_->attach("a"), contents_);
    snapshot = unreadable(*store_->attach_snapshot("a@s"), in_snapshot_);
  });
  // A damaged index is found in use and made anew by the next open.
  if (Store::index_is_marked(Disk::host(), store_.path())) {
    store_.kill();
    store_.open();
    store_.scrub();
    present = unreadable(*store_->attach("a"), contents_);
    snapshot = unreadable(*store_->attach_snapshot("a@s"), in_snapshot_);
  } else {
    ASSERT_EQ(code, 0) << text;
  }
  // Both copies of the node that holds the directory: the names are lost with it.
  const bool nameless =
      present.size() == contents_.size() || snapshot.size() == in_snapshot_.size();
  if (nameless) {
    EXPECT_GT(store_->figures().damaged_objects, 0u);
    return;
  }
  expect_named(present, snapshot);
  if (present.empty()) {
    store_.close();
    const FsckReport report = check_store(Disk::host(), store_.path(), store_.options(), true);
    if (snapshot.empty()) {
      EXPECT_EQ(report.problems, std::vector<std::string>());
    }
    store_.open();
    EXPECT_TRUE(unreadable(*store_->attach("a"), contents_).empty());
    return;
  }
  // The same contents under other names: nothing is deduplicated onto damage, and damaged chunks
  // are healed wherever they are used.
  const auto [again, why] = failure_of([&] {
    const auto volume = store_->attach("a");
    for (const auto& [name, content] : contents_) write_file(*volume, "again-" + name, content);
    for (const auto& [name, content] : in_snapshot_) write_file(*volume, "old-" + name, content);
  });
  if (again == EIO) return;  // a node that every change must touch is lost
  ASSERT_EQ(again, 0) << why;
  store_->commit();
  const auto volume = store_->attach("a");
  for (const auto& [name, content] : contents_) {
    EXPECT_EQ(read_file(*volume, "again-" + name), content);
  }
  const std::set<std::string> left = unreadable(*volume, contents_);
  for (const std::string& path : left) EXPECT_TRUE(present.contains(path)) << path;
}

}  // namespace
}  // namespace varve::test
