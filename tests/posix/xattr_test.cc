// SPDX-License-Identifier: Apache-2.0
//
// Extended attributes and the access control lists that are kept in them.

#include <sys/xattr.h>

#include <algorithm>
#include <optional>
#include <set>

#include "tests/posix/posix_support.h"

namespace varve::posix {
namespace {

class Xattr : public Posix {
 protected:
  int set(const std::string& file, const std::string& name, const std::string& value,
          int flags = 0) const {
    return lsetxattr(path(file).c_str(), name.c_str(), value.data(), value.size(), flags);
  }

  std::optional<std::string> get(const std::string& file, const std::string& name) const {
    std::string value(65536, '\0');
    const ssize_t size = lgetxattr(path(file).c_str(), name.c_str(), value.data(), value.size());
    if (size < 0) return std::nullopt;
    value.resize(static_cast<size_t>(size));
    return value;
  }

  std::set<std::string> list(const std::string& file) const {
    std::string names(65536, '\0');
    const ssize_t size = llistxattr(path(file).c_str(), names.data(), names.size());
    EXPECT_OK(size);
    std::set<std::string> result;
    for (size_t at = 0; size > 0 && at < static_cast<size_t>(size);) {
      const std::string name = names.c_str() + at;
      at += name.size() + 1;
      result.insert(name);
    }
    return result;
  }
};

TEST_F(Xattr, ValuesComeBackAsTheyWere) {
  write_file("file", "x");
  const std::string binary("\0\1\2\0\xff", 5);
  ASSERT_OK(set("file", "user.binary", binary));
  ASSERT_OK(set("file", "user.empty", ""));
  ASSERT_OK(set("file", "trusted.secret", "root's"));
  EXPECT_EQ(get("file", "user.binary"), binary);
  EXPECT_EQ(get("file", "user.empty"), "");
  EXPECT_EQ(get("file", "trusted.secret"), "root's");
  ASSERT_OK(set("file", "user.binary", "other"));
  EXPECT_EQ(get("file", "user.binary"), "other");
  EXPECT_EQ(list("file"), (std::set<std::string>{"user.binary", "user.empty", "trusted.secret"}));
}

TEST_F(Xattr, CreateAndReplaceFlagsHold) {
  write_file("file", "x");
  EXPECT_ERRNO(set("file", "user.a", "1", XATTR_REPLACE), ENODATA);
  ASSERT_OK(set("file", "user.a", "1", XATTR_CREATE));
  EXPECT_ERRNO(set("file", "user.a", "2", XATTR_CREATE), EEXIST);
  ASSERT_OK(set("file", "user.a", "3", XATTR_REPLACE));
  EXPECT_EQ(get("file", "user.a"), "3");
}

TEST_F(Xattr, RemovalIsExact) {
  write_file("file", "x");
  ASSERT_OK(set("file", "user.a", "1"));
  ASSERT_OK(set("file", "user.b", "2"));
  ASSERT_OK(lremovexattr(path("file").c_str(), "user.a"));
  EXPECT_ERRNO(lremovexattr(path("file").c_str(), "user.a"), ENODATA);
  EXPECT_ERRNO(lgetxattr(path("file").c_str(), "user.a", nullptr, 0), ENODATA);
  EXPECT_EQ(list("file"), std::set<std::string>{"user.b"});
}

TEST_F(Xattr, SizesAreToldAndShortBuffersRefused) {
  write_file("file", "x");
  ASSERT_OK(set("file", "user.name", std::string(100, 'v')));
  char buffer[99];
  EXPECT_EQ(lgetxattr(path("file").c_str(), "user.name", nullptr, 0), 100);
  EXPECT_ERRNO(lgetxattr(path("file").c_str(), "user.name", buffer, sizeof buffer), ERANGE);
  EXPECT_EQ(llistxattr(path("file").c_str(), nullptr, 0), 10);
  EXPECT_ERRNO(llistxattr(path("file").c_str(), buffer, 9), ERANGE);
}

TEST_F(Xattr, ValuesMayHave64KiB) {
  write_file("file", "x");
  for (const size_t size :
       {size_t{1}, size_t{1000}, size_t{3000}, size_t{4096}, size_t{65535}, size_t{65536}}) {
    const std::string value = pattern(size, size);
    if (set("file", "user.large", value) == 0) {
      EXPECT_TRUE(get("file", "user.large") == value) << size;
    } else {
      // Filesystems of disks keep attributes in a block or two; ours has no such excuse.
      EXPECT_FALSE(on_fuse()) << size << ": " << strerror(errno);
      EXPECT_TRUE(errno == ENOSPC || errno == E2BIG) << strerror(errno);
    }
  }
  EXPECT_ERRNO(set("file", "user.large", std::string(65537, 'v')), E2BIG);
}

TEST_F(Xattr, NamesMayHave255Bytes) {
  write_file("file", "x");
  const std::string longest = "user." + std::string(250, 'n');
  ASSERT_OK(set("file", longest, "v"));
  EXPECT_EQ(get("file", longest), "v");
  EXPECT_ERRNO(set("file", longest + "n", "v"), ERANGE);
  EXPECT_ERRNO(set("file", "nonsense.name", "v"), EOPNOTSUPP);
}

TEST_F(Xattr, BelongToTheFileAndNotToItsName) {
  write_file("file", "x");
  ASSERT_OK(set("file", "user.a", "1"));
  ASSERT_OK(link(path("file").c_str(), path("other").c_str()));
  EXPECT_EQ(get("other", "user.a"), "1");
  ASSERT_OK(rename(path("file").c_str(), path("moved").c_str()));
  EXPECT_EQ(get("moved", "user.a"), "1");
  ASSERT_OK(unlink(path("moved").c_str()));
  ASSERT_OK(unlink(path("other").c_str()));
  write_file("file", "x");
  EXPECT_TRUE(list("file").empty());
}

TEST_F(Xattr, DirectoriesHaveThemSymlinksOnlyTrustedOnes) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(set("dir", "user.a", "1"));
  EXPECT_EQ(get("dir", "user.a"), "1");
  ASSERT_OK(symlink("dir", path("link").c_str()));
  EXPECT_ERRNO(set("link", "user.a", "1"), EPERM);
  ASSERT_OK(set("link", "trusted.a", "1"));
  EXPECT_EQ(get("link", "trusted.a"), "1");
}

TEST_F(Xattr, ManyOnOneFile) {
  write_file("file", "x");
  std::set<std::string> expected;
  for (int i = 0; i < 50; ++i) {
    const std::string name = "user.n" + std::to_string(i);
    ASSERT_OK(set("file", name, std::to_string(i)));
    expected.insert(name);
  }
  EXPECT_EQ(list("file"), expected);
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(get("file", "user.n" + std::to_string(i)), std::to_string(i));
}

TEST_F(Xattr, OthersNeedTheModeBits) {
  write_file("file", "x", 0600);
  ASSERT_OK(set("file", "user.a", "1"));
  EXPECT_EQ(as_user(kSomeone, kSomeone,
                    [&] { return outcome(lgetxattr(path("file").c_str(), "user.a", nullptr, 0)); }),
            EACCES);
  EXPECT_EQ(as_user(kSomeone, kSomeone, [&] { return outcome(set("file", "user.a", "2")); }),
            EACCES);
  EXPECT_EQ(as_user(kSomeone, kSomeone, [&] { return outcome(set("file", "trusted.a", "2")); }),
            EPERM);
}

// --- Access control lists, written as the bytes that setfacl(1) would send.

constexpr uint16_t kUserObject = 1;
constexpr uint16_t kUser = 2;
constexpr uint16_t kGroupObject = 4;
constexpr uint16_t kGroup = 8;
constexpr uint16_t kMask = 16;
constexpr uint16_t kOther = 32;
constexpr uint32_t kNoId = 0xffffffff;

struct AclEntry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id;
};

bool operator==(const AclEntry& one, const AclEntry& two) {
  return one.tag == two.tag && one.permissions == two.permissions && one.id == two.id;
}

std::string encode(const std::vector<AclEntry>& entries) {
  std::string bytes("\2\0\0\0", 4);
  for (const AclEntry& entry : entries)
    bytes.append(reinterpret_cast<const char*>(&entry), sizeof entry);
  return bytes;
}

std::vector<AclEntry> decode(const std::string& bytes) {
  std::vector<AclEntry> entries((bytes.size() - 4) / sizeof(AclEntry));
  std::memcpy(entries.data(), bytes.data() + 4, entries.size() * sizeof(AclEntry));
  return entries;
}

class Acl : public Xattr {
 protected:
  static constexpr char kAccess[] = "system.posix_acl_access";
  static constexpr char kDefault[] = "system.posix_acl_default";

  static std::vector<AclEntry> with_user(uint16_t owner, uint32_t uid, uint16_t user,
                                         uint16_t group, uint16_t mask, uint16_t other) {
    return {{kUserObject, owner, kNoId},
            {kUser, user, uid},
            {kGroupObject, group, kNoId},
            {kMask, mask, kNoId},
            {kOther, other, kNoId}};
  }

  int open_as_someone(const std::string& name, int flags) const {
    return as_user(kSomeone, kSomeone, [&] { return outcome(::open(path(name).c_str(), flags)); });
  }
};

TEST_F(Acl, GrantsANamedUserWhatTheModeDenies) {
  write_file("file", "x", 0600);
  EXPECT_EQ(open_as_someone("file", O_RDONLY), EACCES);
  ASSERT_OK(set("file", kAccess, encode(with_user(6, kSomeone, 4, 0, 4, 0))));
  EXPECT_EQ(open_as_someone("file", O_RDONLY), 0);
  EXPECT_EQ(open_as_someone("file", O_WRONLY), EACCES);
  EXPECT_EQ(mode_of("file"), 0640u) << "the group bits show the mask";
  EXPECT_EQ(decode(get("file", kAccess).value()), with_user(6, kSomeone, 4, 0, 4, 0));
}

TEST_F(Acl, DeniesANamedUserWhatOthersMay) {
  write_file("file", "x", 0644);
  ASSERT_OK(set("file", kAccess, encode(with_user(6, kSomeone, 0, 4, 4, 4))));
  EXPECT_EQ(open_as_someone("file", O_RDONLY), EACCES);
}

TEST_F(Acl, GrantsANamedGroup) {
  write_file("file", "x", 0600);
  const std::vector<AclEntry> entries = {{kUserObject, 6, kNoId},
                                         {kGroupObject, 0, kNoId},
                                         {kGroup, 6, 777},
                                         {kMask, 6, kNoId},
                                         {kOther, 0, kNoId}};
  ASSERT_OK(set("file", kAccess, encode(entries)));
  const auto open_it = [&] { return outcome(::open(path("file").c_str(), O_RDWR)); };
  EXPECT_EQ(as_user(kSomeone, kSomeone, open_it, {777}), 0);
  EXPECT_EQ(as_user(kSomeone, kSomeone, open_it, {778}), EACCES);
}

TEST_F(Acl, ChmodMovesTheMask) {
  write_file("file", "x", 0600);
  ASSERT_OK(set("file", kAccess, encode(with_user(6, kSomeone, 6, 4, 6, 0))));
  ASSERT_OK(chmod(path("file").c_str(), 0640));
  EXPECT_EQ(decode(get("file", kAccess).value()), with_user(6, kSomeone, 6, 4, 4, 0));
  EXPECT_EQ(open_as_someone("file", O_RDONLY), 0);
  EXPECT_EQ(open_as_someone("file", O_WRONLY), EACCES);
  ASSERT_OK(chmod(path("file").c_str(), 0600));
  EXPECT_EQ(open_as_someone("file", O_RDONLY), EACCES);
}

TEST_F(Acl, MinimalOneIsJustTheMode) {
  write_file("file", "x", 0600);
  ASSERT_OK(set("file", kAccess,
                encode({{kUserObject, 7, kNoId}, {kGroupObject, 5, kNoId}, {kOther, 1, kNoId}})));
  EXPECT_EQ(mode_of("file"), 0751u);
  EXPECT_EQ(list("file").count(kAccess), 0u);
}

TEST_F(Acl, DefaultIsInheritedByFilesAndDirectories) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  const std::vector<AclEntry> entries = with_user(7, kSomeone, 7, 5, 7, 0);
  ASSERT_OK(set("dir", kDefault, encode(entries)));
  EXPECT_EQ(mode_of("dir"), 0755u);
  ASSERT_OK(mkdir(path("dir/sub").c_str(), 0777));
  EXPECT_EQ(decode(get("dir/sub", kDefault).value()), entries);
  EXPECT_EQ(decode(get("dir/sub", kAccess).value()), entries);
  write_file("dir/file", "x", 0666);
  EXPECT_EQ(decode(get("dir/file", kAccess).value()), with_user(6, kSomeone, 7, 5, 6, 0));
  EXPECT_EQ(get("dir/file", kDefault), std::nullopt);
  EXPECT_EQ(mode_of("dir/file"), 0660u);
  write_file("dir/private", "x", 0600);
  EXPECT_EQ(mode_of("dir/private"), 0600u);
}

TEST_F(Acl, DefaultReplacesTheUmask) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(set("dir", kDefault, encode(with_user(7, kSomeone, 7, 7, 7, 7))));
  umask(077);
  write_file("dir/file", "x", 0666);
  umask(022);
  write_file("plain", "x", 0666);
  EXPECT_EQ(mode_of("dir/file"), 0666u);
  EXPECT_EQ(mode_of("plain"), 0644u);
}

TEST_F(Acl, CanBeRemoved) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(set("dir", kDefault, encode(with_user(7, kSomeone, 7, 5, 7, 0))));
  ASSERT_OK(lremovexattr(path("dir").c_str(), kDefault));
  write_file("dir/file", "x", 0666);
  EXPECT_EQ(mode_of("dir/file"), 0644u);
  EXPECT_TRUE(list("dir/file").empty());
}

TEST_F(Acl, OnlyTheOwnerMaySetOne) {
  write_file("file", "x", 0666);
  const std::string entries = encode(with_user(6, kSomeone, 7, 5, 7, 0));
  EXPECT_EQ(as_user(kSomeone, kSomeone, [&] { return outcome(set("file", kAccess, entries)); }),
            EPERM);
  ASSERT_OK(chown(path("file").c_str(), kSomeone, kSomeone));
  EXPECT_EQ(as_user(kSomeone, kSomeone, [&] { return outcome(set("file", kAccess, entries)); }), 0);
}

TEST_F(Acl, NonsenseIsRefused) {
  write_file("file", "x");
  EXPECT_ERRNO(set("file", kAccess, std::string("\2\0\0\0cut", 7)), EINVAL);
  EXPECT_ERRNO(set("file", kAccess, encode({{kUserObject, 7, kNoId}})), EINVAL);
  EXPECT_ERRNO(set("file", kDefault, encode(with_user(6, kSomeone, 7, 5, 7, 0))), EACCES);
}

}  // namespace
}  // namespace varve::posix
