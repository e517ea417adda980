// SPDX-License-Identifier: Apache-2.0
// Mounts of which the kernel shows the owners through a map. Needs root, /dev/fuse and Linux 6.12.
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <array>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/idmapped_view.h"
#include "tests/support/mounted_volume.h"

namespace varve::test {
namespace {

constexpr std::uint32_t kFirst = 100000;  // what the map shows owner 0 as
constexpr std::uint32_t kCount = 1000;

FuseMount::Options for_everybody() {
  FuseMount::Options options;
  options.allow_other = true;
  return options;
}

using Owner = std::pair<std::uint32_t, std::uint32_t>;

Owner owner(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return {errno, 0xffffffff};
  return {status.st_uid, status.st_gid};
}

std::uint32_t mode(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0xffffffff;
}

/// Appends a byte; what system calls return.
int append(const std::string& path) {
  const OpenFile file(path, O_WRONLY | O_APPEND);
  return file.valid() && ::write(file.get(), "x", 1) == 1 ? 0 : -1;
}

int readable(const std::string& path) { return OpenFile(path, O_RDONLY).valid() ? 0 : -1; }

class IdmappedMount : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kLibraryLacksIdmapping) GTEST_SKIP() << "this libfuse lacks what the kernel asks for";
    if (!kernel_maps_ids()) GTEST_SKIP() << "the kernel lacks id-mapped FUSE mounts (Linux 6.12)";
    if (MountedVolume::over_uring()) GTEST_SKIP() << "the kernel lacks them over io_uring";
    ::chmod(places_.path().c_str(), 0755);
    for (const char* name : {"a", "b"}) ASSERT_EQ(::mkdir((places_ / name).c_str(), 0755), 0);
    ASSERT_EQ(::chmod(plain_.path().c_str(), 0777), 0);
  }

  /// What the volume has, past the kernel.
  Owner stored(const std::string& name) {
    return plain_.volume->with([&](MemoryVolume& memory) -> Owner {
      const auto found = memory.lookup(kRootIno, name);
      if (!found) return {0xffffffff, 0xffffffff};
      memory.forget(found->ino, 1);
      return {found->uid, found->gid};
    });
  }

  TempDirectory places_;
  MountedVolume plain_{for_everybody()};
};

TEST_F(IdmappedMount, ShowsOwnersThroughItsMapAndThePlainMountAsTheyAre) {
  ASSERT_TRUE(write_file(plain_ / "root", "text"));
  ASSERT_TRUE(write_file(plain_ / "five", "text"));
  ASSERT_EQ(::chown((plain_ / "five").c_str(), 5, 6), 0);
  ASSERT_TRUE(write_file(plain_ / "outside", "text"));
  ASSERT_EQ(::chown((plain_ / "outside").c_str(), kCount, kCount), 0);
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  EXPECT_EQ(owner(view / "root"), Owner(kFirst, kFirst));
  EXPECT_EQ(owner(view / "five"), Owner(kFirst + 5, kFirst + 6));
  EXPECT_EQ(owner(view / "outside"), Owner(65534, 65534));
  EXPECT_EQ(read_file(view / "five"), "text");
  EXPECT_EQ(owner(plain_ / "root"), Owner(0, 0));
  EXPECT_EQ(owner(plain_ / "five"), Owner(5, 6));
  EXPECT_EQ(owner(plain_ / "outside"), Owner(kCount, kCount));
}

TEST_F(IdmappedMount, StoresWhatAMappedUserMakesWithTheUnmappedOwner) {
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  const auto made = [&] {
    if (!write_file(view / "file", "text")) return -1;
    if (::mkdir((view / "directory").c_str(), 0755) != 0) return -1;
    if (::symlink("file", (view / "link").c_str()) != 0) return -1;
    if (::mkfifo((view / "fifo").c_str(), 0644) != 0) return -1;
    const OpenFile temporary(view / ".", O_TMPFILE | O_RDWR);
    const std::string path = "/proc/self/fd/" + std::to_string(temporary.get());
    return ::linkat(AT_FDCWD, path.c_str(), AT_FDCWD, (view / "temporary").c_str(),
                    AT_SYMLINK_FOLLOW);
  };
  ASSERT_EQ(as_user(kFirst + 7, made), 0);
  for (const char* name : {"file", "directory", "link", "fifo", "temporary"}) {
    EXPECT_EQ(stored(name), Owner(7, 7)) << name;
    EXPECT_EQ(owner(view / name), Owner(kFirst + 7, kFirst + 7)) << name;
    EXPECT_EQ(owner(plain_ / name), Owner(7, 7)) << name;
  }
}

TEST_F(IdmappedMount, ADirectoryPassesItsGroupOn) {
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  ASSERT_EQ(::mkdir((plain_ / "shared").c_str(), 0755), 0);
  ASSERT_EQ(::chown((plain_ / "shared").c_str(), 0, 9), 0);
  ASSERT_EQ(::chmod((plain_ / "shared").c_str(), 02777), 0);
  ASSERT_EQ(as_user(kFirst + 7, [&] { return write_file(view / "shared/file", "x") ? 0 : -1; }), 0);
  EXPECT_EQ(owner(plain_ / "shared/file"), Owner(7, 9));
  EXPECT_EQ(owner(view / "shared/file"), Owner(kFirst + 7, kFirst + 9));
}

TEST_F(IdmappedMount, NobodyOutsideTheMapMakesAnything) {
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  for (const std::uint32_t id : {0u, 7u, kFirst + kCount}) {
    EXPECT_EQ(as_user(id, [&] { return ::mkdir((view / "d").c_str(), 0755); }), EOVERFLOW) << id;
    EXPECT_EQ(as_user(id, [&] { return write_file(view / "f", "x") ? 0 : -1; }), EOVERFLOW) << id;
    EXPECT_EQ(as_user(id, [&] { return ::symlink("x", (view / "s").c_str()); }), EOVERFLOW) << id;
    const auto temporary = [&] {
      return OpenFile(view / ".", O_TMPFILE | O_RDWR).valid() ? 0 : -1;
    };
    EXPECT_EQ(as_user(id, temporary), EOVERFLOW) << id;
  }
  EXPECT_EQ(owner(plain_ / "d"), Owner(ENOENT, 0xffffffff));
  EXPECT_EQ(owner(plain_ / "f"), Owner(ENOENT, 0xffffffff));
}

TEST_F(IdmappedMount, ChangesOwnersWithinTheMapOnly) {
  ASSERT_TRUE(write_file(plain_ / "file", "text"));
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  ASSERT_EQ(::chown((view / "file").c_str(), kFirst + 8, kFirst + 9), 0) << errno;
  EXPECT_EQ(stored("file"), Owner(8, 9));
  EXPECT_EQ(owner(view / "file"), Owner(kFirst + 8, kFirst + 9));
  EXPECT_EQ(::chown((view / "file").c_str(), 8, 9), -1);
  EXPECT_EQ(errno, EOVERFLOW);
  const auto give_away = [&] { return ::chown((view / "file").c_str(), kFirst + 1, ~0u); };
  EXPECT_EQ(as_user(kFirst + 8, give_away), EPERM);
  EXPECT_EQ(stored("file"), Owner(8, 9));
}

TEST_F(IdmappedMount, ChecksPermissionsThroughTheMap) {
  ASSERT_TRUE(write_file(plain_ / "file", "text"));
  ASSERT_EQ(::chown((plain_ / "file").c_str(), 5, 5), 0);
  ASSERT_EQ(::chmod((plain_ / "file").c_str(), 0600), 0);
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  EXPECT_EQ(as_user(kFirst + 5, [&] { return append(view / "file"); }), 0);
  EXPECT_EQ(as_user(kFirst + 5, [&] { return ::chmod((view / "file").c_str(), 0640); }), 0);
  EXPECT_EQ(as_user(kFirst + 6, [&] { return readable(view / "file"); }), EACCES);
  EXPECT_EQ(as_user(5, [&] { return readable(view / "file"); }), EACCES);
  EXPECT_EQ(as_user(5, [&] { return append(plain_ / "file"); }), 0);
  EXPECT_EQ(as_user(kFirst + 5, [&] { return readable(plain_ / "file"); }), EACCES);
  EXPECT_EQ(read_file(plain_ / "file"), "textxx");
}

TEST_F(IdmappedMount, AWriteTakesSetidAwayUnlessRootWrites) {
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  for (const std::string& path : {plain_ / "file", view / "file"}) {
    ASSERT_TRUE(write_file(plain_ / "file", "text"));
    ASSERT_EQ(::chmod((plain_ / "file").c_str(), 06777), 0);
    ASSERT_EQ(as_user(0, [&] { return append(path); }), 0);
    EXPECT_EQ(mode(plain_ / "file"), 06777u) << path;
    ASSERT_EQ(as_user(kFirst + 5, [&] { return append(path); }), 0);
    EXPECT_EQ(mode(plain_ / "file"), 0777u) << path;
    ASSERT_EQ(::chmod((plain_ / "file").c_str(), 06777), 0);
    ASSERT_EQ(as_user(kFirst + 5, [&] { return ::truncate(path.c_str(), 1); }), 0);
    EXPECT_EQ(mode(plain_ / "file"), 0777u) << path;
  }
}

TEST_F(IdmappedMount, AnAclKeepsSetgidForThoseInTheGroup) {
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  struct Acl {
    std::uint32_t version = 2;
    std::array<Entry, 5> entries;
  };
  constexpr std::uint32_t kNone = 0xffffffff;
  constexpr const char* kName = "system.posix_acl_access";
  const auto acl_for = [&](std::uint32_t user) {
    return Acl{2, {{{1, 7, kNone}, {2, 4, user}, {4, 5, kNone}, {16, 7, kNone}, {32, 5, kNone}}}};
  };
  const IdmappedView view(plain_.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  ASSERT_TRUE(write_file(plain_ / "file", "text"));
  const auto set_by_owner = [&](std::uint32_t group) {
    EXPECT_EQ(::chown((plain_ / "file").c_str(), 5, group), 0);
    EXPECT_EQ(::chmod((plain_ / "file").c_str(), 02775), 0);
    const Acl acl = acl_for(kFirst + 50);
    return as_user(kFirst + 5,
                   [&] { return ::setxattr((view / "file").c_str(), kName, &acl, sizeof acl, 0); });
  };
  ASSERT_EQ(set_by_owner(5), 0);
  EXPECT_EQ(mode(plain_ / "file"), 02775u);
  ASSERT_EQ(set_by_owner(6), 0);
  EXPECT_EQ(mode(plain_ / "file"), 0775u) << "whoever set it is not in the group";
  Acl shown{};
  ASSERT_EQ(::getxattr((plain_ / "file").c_str(), kName, &shown, sizeof shown),
            static_cast<ssize_t>(sizeof shown));
  EXPECT_EQ(shown.entries[1].id, 50u) << "stored through the map";
  ASSERT_EQ(::getxattr((view / "file").c_str(), kName, &shown, sizeof shown),
            static_cast<ssize_t>(sizeof shown));
  EXPECT_EQ(shown.entries[1].id, kFirst + 50);
}

TEST_F(IdmappedMount, OneVolumeIsShownThroughTwoMapsAtOnce) {
  const IdmappedView one(plain_.path(), places_ / "a", kFirst, kCount);
  const IdmappedView two(plain_.path(), places_ / "b", 2 * kFirst, kCount);
  ASSERT_EQ(one.error(), 0);
  ASSERT_EQ(two.error(), 0);
  ASSERT_EQ(as_user(kFirst + 3, [&] { return write_file(one / "file", "one") ? 0 : -1; }), 0);
  EXPECT_EQ(owner(two / "file"), Owner(2 * kFirst + 3, 2 * kFirst + 3));
  EXPECT_EQ(as_user(2 * kFirst + 3, [&] { return append(two / "file"); }), 0);
  EXPECT_EQ(as_user(kFirst + 3, [&] { return append(two / "file"); }), EACCES);
  EXPECT_EQ(read_file(one / "file"), "onex");
  EXPECT_EQ(owner(one / "file"), Owner(kFirst + 3, kFirst + 3));
  EXPECT_EQ(stored("file"), Owner(3, 3));
}

TEST_F(IdmappedMount, IsRefusedWhereTheKernelDoesNotCheckPermissions) {
  FuseMount::Options options = for_everybody();
  options.default_permissions = false;
  const MountedVolume unchecked(options);
  ASSERT_TRUE(write_file(unchecked / "file", "text")) << "the connection must live";
  const IdmappedView view(unchecked.path(), places_ / "a", kFirst, kCount);
  EXPECT_EQ(view.error(), EINVAL);
}

TEST_F(IdmappedMount, MapsOnTopOfAMapOfTheDaemon) {
  FuseMount::Options options = for_everybody();
  options.ids.users = IdMap::parse("0:10:100");
  options.ids.groups = IdMap::parse("0:20:100");
  const MountedVolume mapped(options);
  ASSERT_EQ(::chmod(mapped.path().c_str(), 0777), 0);
  const IdmappedView view(mapped.path(), places_ / "a", kFirst, kCount);
  ASSERT_EQ(view.error(), 0);
  EXPECT_EQ(owner(view / "."), Owner(kFirst + 10, kFirst + 20));
  const auto make = [&] { return ::mkdir((view / "d").c_str(), 0755); };
  EXPECT_EQ(as_user(kFirst + 30, make), 0);
  EXPECT_EQ(owner(mapped / "d"), Owner(30, 30));
  EXPECT_EQ(owner(view / "d"), Owner(kFirst + 30, kFirst + 30));
  EXPECT_EQ(as_user(kFirst + 5, [&] { return ::chmod((view / "d").c_str(), 0700); }), EPERM);
  EXPECT_EQ(as_user(kFirst + 30, [&] { return ::chmod((view / "d").c_str(), 0700); }), 0);
}

}  // namespace
}  // namespace varve::test
