// SPDX-License-Identifier: Apache-2.0
// /.snapshots of a volume in use. tests/mountd/cli_snapshots_dir.sh has what programs see of it.
#include "fs/snapshots_view.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "tests/support/damaged_store.h"
#include "tests/support/volume_test.h"

namespace varve::test {
namespace {

class SnapshotsViewTest : public testing::Test {
 protected:
  void SetUp() override {
    store_.create_volume("a");
    attached_ = store_->attach("a");
    view_ = store_->with_snapshots(attached_, "a");
  }
  void TearDown() override {
    view_.reset();
    attached_.reset();
  }
  Ino find(Ino parent, std::string_view name) { return view_->lookup(parent, name).value().ino; }
  Ino shelf() { return find(kRootIno, kSnapshotsName); }
  /// The next entry after `cookie`; its name is empty at the end.
  std::pair<std::string, std::uint64_t> entry_after(std::uint64_t cookie) {
    std::pair<std::string, std::uint64_t> out;
    view_->read_directory(shelf(), cookie, true, [&](const DirectoryEntry& entry) {
      if (!out.first.empty()) return false;
      out = {std::string(entry.name), entry.cookie};
      return true;
    });
    return out;
  }
  std::string text(Ino ino) {
    Bytes bytes(100);
    bytes.resize(view_->read(ino, 0, bytes));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  DamagedStore store_;
  std::shared_ptr<Volume> attached_;
  std::shared_ptr<Volume> view_;
};

TEST_F(SnapshotsViewTest, ListsEachOnceWhateverComesAndGoesMeanwhile) {
  for (int i = 0; i < 40; ++i) store_->create_snapshot("a", "s" + std::to_string(i), {});
  std::multiset<std::string> seen;
  std::uint64_t cookie = 0;
  for (int step = 0;; ++step) {
    const auto [name, next] = entry_after(cookie);
    if (name.empty()) break;
    ASSERT_GT(next, cookie);
    seen.insert(name);
    cookie = next;
    if (step == 5) store_->remove_snapshot("a@s2");   // handed out before
    if (step == 6) store_->remove_snapshot("a@s30");  // not yet
    if (step == 7) store_->create_snapshot("a", "late", {});
  }
  EXPECT_EQ(seen.size(), 2u + 40u - 1u + 1u);
  EXPECT_EQ(seen.count("s30"), 0u);
  EXPECT_EQ(seen.count("late"), 1u);
  for (const std::string& name : seen) EXPECT_EQ(seen.count(name), 1u) << name;
}

/// The kernel goes on with numbers that an earlier process gave it.
TEST_F(SnapshotsViewTest, NumbersMeanTheSameToAnotherView) {
  write_file(*view_, "f", as_bytes("then"));
  store_->create_snapshot("a", "s", {});
  write_file(*view_, "f", as_bytes("now!"));
  const Ino file = find(find(shelf(), "s"), "f");
  const Ino directory = shelf();
  view_ = store_->with_snapshots(attached_, "a");
  EXPECT_EQ(text(file), "then");
  EXPECT_EQ(view_->getattr(file).ino, file);
  EXPECT_EQ(view_->getattr(directory).nlink, 3u);
  view_->forget(file, 1);
  view_->forget(file, 1);  // more than this view gave
}

TEST_F(SnapshotsViewTest, WhatWasLookedIntoHoldsNoSpaceOnceItIsRemoved) {
  constexpr std::size_t kBytes = 12 << 20;
  write_file(*view_, "f", pattern(kBytes, 1));
  store_->create_snapshot("a", "s", {});
  store_.settle();
  const Ino file = find(find(shelf(), "s"), "f");
  EXPECT_EQ(text(file).size(), 100u);
  write_file(*view_, "f", pattern(kBytes, 2));
  store_.settle();
  store_->remove_snapshot("a@s");
  store_.settle();
  std::uint64_t allocated = 0;
  for (const auto& entry : std::filesystem::directory_iterator(store_.path() + "/segments")) {
    struct stat status {};
    ::stat(entry.path().c_str(), &status);
    allocated += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  EXPECT_LE(allocated, kBytes * 3 / 2);
  EXPECT_EQ(errno_of([&] { text(file); }), ESTALE);
  EXPECT_EQ(errno_of([&] { find(shelf(), "s"); }), ENOENT);
}

TEST_F(SnapshotsViewTest, ChangesAreRefusedThereAndNowhereElse) {
  write_file(*view_, "f", as_bytes("then"));
  store_->create_snapshot("a", "s", {});
  const Ino root = find(shelf(), "s"), file = find(root, "f"), own = find(kRootIno, "f");
  const Caller caller;
  for (const Ino parent : {shelf(), root}) {
    EXPECT_EQ(errno_of([&] { view_->make_directory(parent, "d", 0755, caller); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->make_node(parent, "n", S_IFREG, 0, caller); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->make_symlink(parent, "l", "t", caller); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->make_temporary(parent, 0600, caller); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->link(own, parent, "l"); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->unlink(parent, "f"); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->rmdir(parent, "s"); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->setattr(parent, {}, caller); }), EROFS);
    EXPECT_EQ(errno_of([&] { view_->rename(kRootIno, "f", parent, "x", RenameMode::kReplace); }),
              EROFS);
  }
  EXPECT_EQ(errno_of([&] { view_->write(file, 0, as_bytes("x"), false); }), EROFS);
  EXPECT_EQ(errno_of([&] { view_->allocate(file, AllocateMode::kExtend, 0, 10); }), EROFS);
  EXPECT_EQ(errno_of([&] { view_->set_xattr(file, "user.x", {}, XattrMode::kAny, false); }), EROFS);
  EXPECT_EQ(errno_of([&] { view_->remove_xattr(file, "user.x"); }), EROFS);
  EXPECT_EQ(errno_of([&] { view_->copy_range(own, 0, file, 0, 1); }), EROFS);
  EXPECT_EQ(errno_of([&] { view_->copy_range(file, 0, own, 0, 1); }), EXDEV);
  EXPECT_EQ(errno_of([&] { view_->link(file, kRootIno, "l"); }), EXDEV);
  {
    const std::string_view name = kSnapshotsName;
    EXPECT_EQ(errno_of([&] { view_->rmdir(kRootIno, name); }), EPERM);
    EXPECT_EQ(errno_of([&] { view_->make_directory(kRootIno, name, 0755, caller); }), EEXIST);
    EXPECT_EQ(errno_of([&] { view_->rename(kRootIno, "f", kRootIno, name, RenameMode::kReplace); }),
              EPERM);
  }
  EXPECT_EQ(text(file), "then");
  write_file(*view_, "f", as_bytes("now!"));
  EXPECT_EQ(text(own), "now!");
  // One of the volume itself is a file like any other.
  attached_->make_directory(kRootIno, kSnapshotsName, 0755, caller);
  EXPECT_EQ(errno_of([&] { view_->rmdir(kRootIno, kSnapshotsName); }), 0);
}

}  // namespace
}  // namespace varve::test
