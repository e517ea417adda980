// SPDX-License-Identifier: Apache-2.0
//
// Who may do what, the bits that vanish, and the times that move.

#include <sys/time.h>
#include <sys/xattr.h>

#include <ctime>

#include "tests/posix/posix_support.h"

namespace varve::posix {
namespace {

using Permission = Posix;
using Owner = Posix;

TEST_F(Permission, ModeBitsDecide) {
  write_file("file", "x", 0640);
  ASSERT_OK(chown(path("file").c_str(), kNobody, kSomeone));
  const auto read_it = [&] { return outcome(::open(path("file").c_str(), O_RDONLY)); };
  const auto write_it = [&] { return outcome(::open(path("file").c_str(), O_WRONLY)); };
  EXPECT_EQ(as_user(kNobody, kNogroup, write_it), 0);
  EXPECT_EQ(as_user(1000, kSomeone, read_it), 0);
  EXPECT_EQ(as_user(1000, kSomeone, write_it), EACCES);
  EXPECT_EQ(as_user(1000, 1000, read_it), EACCES);
  EXPECT_EQ(as_user(1000, 1000, read_it, {5, kSomeone}), 0);
}

TEST_F(Permission, DirectoriesNeedSearchAndWrite) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  write_file("dir/file", "x", 0666);
  const auto create = [&] {
    return outcome(::open(path("dir/new").c_str(), O_WRONLY | O_CREAT, 0644));
  };
  const auto look = [&] { return outcome(::open(path("dir/file").c_str(), O_RDONLY)); };
  EXPECT_EQ(as_user(kSomeone, kSomeone, create), EACCES);
  EXPECT_EQ(
      as_user(kSomeone, kSomeone, [&] { return outcome(::unlink(path("dir/file").c_str())); }),
      EACCES);
  EXPECT_EQ(as_user(kSomeone, kSomeone, look), 0);
  ASSERT_OK(chmod(path("dir").c_str(), 0766));
  EXPECT_EQ(as_user(kSomeone, kSomeone, look), EACCES);
  ASSERT_OK(chmod(path("dir").c_str(), 0777));
  EXPECT_EQ(as_user(kSomeone, kSomeone, create), 0);
  EXPECT_EQ(status("dir/new").st_uid, kSomeone);
  EXPECT_EQ(status("dir/new").st_gid, kSomeone);
}

TEST_F(Permission, TheUmaskTrimsNewModes) {
  umask(027);
  write_file("file", "x", 0666);
  ASSERT_OK(mkdir(path("dir").c_str(), 0777));
  ASSERT_OK(mkfifo(path("fifo").c_str(), 0666));
  umask(022);
  EXPECT_EQ(mode_of("file"), 0640u);
  EXPECT_EQ(mode_of("dir"), 0750u);
  EXPECT_EQ(mode_of("fifo"), 0640u);
}

TEST_F(Permission, StickyDirectoriesProtectOthersEntries) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(chmod(path("dir").c_str(), 01777));
  write_file("dir/file", "x", 0666);
  ASSERT_OK(chown(path("dir/file").c_str(), kNobody, kNogroup));
  const auto remove = [&] { return outcome(::unlink(path("dir/file").c_str())); };
  const auto move = [&] {
    return outcome(::rename(path("dir/file").c_str(), path("dir/moved").c_str()));
  };
  EXPECT_EQ(as_user(kSomeone, kSomeone, remove), EPERM);
  EXPECT_EQ(as_user(kSomeone, kSomeone, move), EPERM);
  EXPECT_EQ(as_user(kNobody, kNogroup, move), 0);
  ASSERT_OK(rename(path("dir/moved").c_str(), path("dir/file").c_str()));
  EXPECT_EQ(as_user(kNobody, kNogroup, remove), 0);
}

TEST_F(Permission, OnlyTheOwnerChangesTheMode) {
  write_file("file", "x", 0666);
  const auto change = [&] { return outcome(::chmod(path("file").c_str(), 0600)); };
  EXPECT_EQ(as_user(kSomeone, kSomeone, change), EPERM);
  ASSERT_OK(chown(path("file").c_str(), kSomeone, kSomeone));
  EXPECT_EQ(as_user(kSomeone, kSomeone, change), 0);
  EXPECT_EQ(mode_of("file"), 0600u);
}

class SetIdBits : public Posix {
 protected:
  /// A file of kSomeone with these bits, which everybody may write.
  void special(const std::string& name, mode_t mode) const {
    write_file(name, "content");
    ASSERT_OK(chown(path(name).c_str(), kSomeone, kSomeone));
    ASSERT_OK(chmod(path(name).c_str(), mode));
    ASSERT_EQ(mode_of(name), mode);
  }
};

TEST_F(SetIdBits, VanishWhenAnotherUserWrites) {
  special("file", 06777);
  EXPECT_EQ(as_user(kNobody, kNogroup,
                    [&] {
                      const Fd file = open_file("file", O_WRONLY);
                      return write_all(file, "x") == 1 ? 0 : errno;
                    }),
            0);
  EXPECT_EQ(mode_of("file"), 0777u);
}

TEST_F(SetIdBits, VanishWhenTheOwnerWrites) {
  special("file", 04755);
  EXPECT_EQ(as_user(kSomeone, kSomeone,
                    [&] {
                      const Fd file = open_file("file", O_WRONLY);
                      return write_all(file, "x") == 1 ? 0 : errno;
                    }),
            0);
  EXPECT_EQ(mode_of("file"), 0755u);
}

TEST_F(SetIdBits, VanishOnTruncationByOthers) {
  special("file", 04777);
  EXPECT_EQ(
      as_user(kNobody, kNogroup, [&] { return outcome(::truncate(path("file").c_str(), 1)); }), 0);
  EXPECT_EQ(mode_of("file"), 0777u);
  special("other", 04777);
  EXPECT_EQ(as_user(kNobody, kNogroup,
                    [&] { return outcome(::open(path("other").c_str(), O_WRONLY | O_TRUNC)); }),
            0);
  EXPECT_EQ(mode_of("other"), 0777u);
}

TEST_F(SetIdBits, StayWhenRootWrites) {
  special("file", 04755);
  const Fd file = open_file("file", O_WRONLY);
  EXPECT_EQ(write_all(file, "x"), 1u);
  EXPECT_EQ(mode_of("file"), 04755u);
}

TEST_F(SetIdBits, VanishOnChown) {
  special("file", 06755);
  EXPECT_EQ(
      as_user(kSomeone, kSomeone,
              [&] { return outcome(::chown(path("file").c_str(), static_cast<uid_t>(-1), 777)); },
              {777}),
      0);
  EXPECT_EQ(mode_of("file"), 0755u);
  special("other", 06755);
  ASSERT_OK(chown(path("other").c_str(), kNobody, kNogroup));
  EXPECT_EQ(mode_of("other"), 0755u);
}

TEST_F(SetIdBits, WithoutGroupExecutionStayOnChown) {
  special("file", 02644);
  ASSERT_OK(chown(path("file").c_str(), kNobody, kNogroup));
  EXPECT_EQ(mode_of("file"), 02644u);
}

TEST_F(SetIdBits, CapabilitiesVanishOnWrite) {
  write_file("file", "content", 0755);
  // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted, what setcap(8) writes.
  const unsigned char capability[20] = {0, 0, 0, 2, 0, 0x20, 0, 0};
  ASSERT_OK(
      setxattr(path("file").c_str(), "security.capability", capability, sizeof capability, 0));
  char buffer[64];
  ASSERT_EQ(getxattr(path("file").c_str(), "security.capability", buffer, sizeof buffer), 20);
  const Fd file = open_file("file", O_WRONLY);
  ASSERT_EQ(write_all(file, "x"), 1u);
  EXPECT_ERRNO(getxattr(path("file").c_str(), "security.capability", buffer, sizeof buffer),
               ENODATA);
}

TEST_F(SetIdBits, OfADirectoryGoToItsChildren) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(chown(path("dir").c_str(), 0, 777));
  ASSERT_OK(chmod(path("dir").c_str(), 02777));
  EXPECT_EQ(as_user(kSomeone, kSomeone,
                    [&] {
                      const int made = ::mkdir(path("dir/sub").c_str(), 0755);
                      return made != 0 ? errno
                                       : outcome(::open(path("dir/file").c_str(),
                                                        O_CREAT | O_WRONLY, 0644));
                    }),
            0);
  EXPECT_EQ(status("dir/sub").st_gid, 777u);
  EXPECT_EQ(status("dir/file").st_gid, 777u);
  EXPECT_EQ(mode_of("dir/sub"), 02755u);
  EXPECT_EQ(mode_of("dir/file"), 0644u);
}

TEST_F(SetIdBits, GroupBitNeedsMembership) {
  special("file", 0755);
  ASSERT_OK(chown(path("file").c_str(), kSomeone, 777));
  EXPECT_EQ(
      as_user(kSomeone, kSomeone, [&] { return outcome(::chmod(path("file").c_str(), 02755)); }),
      0);
  EXPECT_EQ(mode_of("file"), 0755u);
  EXPECT_EQ(as_user(kSomeone, kSomeone,
                    [&] { return outcome(::chmod(path("file").c_str(), 02755)); }, {777}),
            0);
  EXPECT_EQ(mode_of("file"), 02755u);
}

TEST_F(Owner, ChangesOnlyAsAllowed) {
  write_file("file", "x");
  ASSERT_OK(chown(path("file").c_str(), kSomeone, kSomeone));
  const auto give = [&](uid_t uid, gid_t gid) {
    return [this, uid, gid] { return outcome(::chown(path("file").c_str(), uid, gid)); };
  };
  EXPECT_EQ(as_user(kSomeone, kSomeone, give(kNobody, static_cast<gid_t>(-1))), EPERM);
  EXPECT_EQ(as_user(kSomeone, kSomeone, give(kSomeone, 777)), EPERM);
  EXPECT_EQ(as_user(kSomeone, kSomeone, give(kSomeone, 777), {777}), 0);
  EXPECT_EQ(as_user(kNobody, kNogroup, give(kNobody, static_cast<gid_t>(-1))), EPERM);
  EXPECT_EQ(status("file").st_gid, 777u);
}

TEST_F(Owner, OfASymlinkIsItsOwn) {
  write_file("file", "x");
  ASSERT_OK(symlink("file", path("link").c_str()));
  ASSERT_OK(lchown(path("link").c_str(), kNobody, kNogroup));
  EXPECT_EQ(status("link").st_uid, kNobody);
  EXPECT_EQ(status("file").st_uid, 0u);
}

// --- Times. Files start in the past, so that a change shows without waiting for the clock.

class Times : public Posix {
 protected:
  static constexpr timespec kPast = {1'000'000, 123'456'789};

  void age(const std::string& name) const {
    const timespec past[2] = {kPast, kPast};
    ASSERT_OK(utimensat(AT_FDCWD, path(name).c_str(), past, AT_SYMLINK_NOFOLLOW));
    ASSERT_EQ(status(name).st_mtim.tv_sec, kPast.tv_sec);
  }

  bool modified(const std::string& name) const {
    return status(name).st_mtim.tv_sec > kPast.tv_sec;
  }

  /// Whether `change` moves the ctime of `name`. Lets the coarse clock pass it first.
  bool changes(const std::string& name, const std::function<void()>& change) const {
    const timespec before = status(name).st_ctim;
    timespec now{};
    do {
      clock_gettime(CLOCK_REALTIME_COARSE, &now);
    } while (now.tv_sec == before.tv_sec ? now.tv_nsec <= before.tv_nsec
                                         : now.tv_sec < before.tv_sec);
    change();
    const timespec after = status(name).st_ctim;
    return after.tv_sec != before.tv_sec || after.tv_nsec != before.tv_nsec;
  }
};

TEST_F(Times, KeepNanosecondsBothSidesOf1970) {
  write_file("file", "x");
  for (const timespec time :
       {timespec{0, 1}, timespec{1, 999'999'999}, timespec{-1, 5}, timespec{-2'000'000'000, 7},
        timespec{4'294'967'296, 999'999'999}, timespec{15'000'000'000, 3}}) {
    const timespec both[2] = {time, {time.tv_sec, time.tv_nsec / 2}};
    ASSERT_OK(utimensat(AT_FDCWD, path("file").c_str(), both, 0));
    EXPECT_EQ(status("file").st_atim.tv_sec, time.tv_sec);
    EXPECT_EQ(status("file").st_atim.tv_nsec, time.tv_nsec);
    EXPECT_EQ(status("file").st_mtim.tv_nsec, time.tv_nsec / 2);
  }
}

TEST_F(Times, OmitAndNowAreHonoured) {
  write_file("file", "x");
  age("file");
  const timespec only_mtime[2] = {{0, UTIME_OMIT}, {77, 7}};
  ASSERT_OK(utimensat(AT_FDCWD, path("file").c_str(), only_mtime, 0));
  EXPECT_EQ(status("file").st_atim.tv_nsec, kPast.tv_nsec);
  EXPECT_EQ(status("file").st_mtim.tv_sec, 77);
  const timespec now_and_omit[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  ASSERT_OK(utimensat(AT_FDCWD, path("file").c_str(), now_and_omit, 0));
  EXPECT_GT(status("file").st_atim.tv_sec, kPast.tv_sec);
  EXPECT_EQ(status("file").st_mtim.tv_sec, 77);
  const timespec nonsense[2] = {{0, 1'000'000'000}, {0, 0}};
  EXPECT_ERRNO(utimensat(AT_FDCWD, path("file").c_str(), nonsense, 0), EINVAL);
}

TEST_F(Times, OthersMaySetThemOnlyToNow) {
  write_file("file", "x");
  ASSERT_OK(chmod(path("file").c_str(), 0666));
  const auto set_now = [&] {
    return outcome(utimensat(AT_FDCWD, path("file").c_str(), nullptr, 0));
  };
  const timespec past[2] = {kPast, kPast};
  const auto set_past = [&] { return outcome(utimensat(AT_FDCWD, path("file").c_str(), past, 0)); };
  EXPECT_EQ(as_user(kSomeone, kSomeone, set_now), 0);
  EXPECT_EQ(as_user(kSomeone, kSomeone, set_past), EPERM);
  ASSERT_OK(chmod(path("file").c_str(), 0444));
  EXPECT_EQ(as_user(kSomeone, kSomeone, set_now), EACCES);
}

TEST_F(Times, OfASymlinkAreItsOwn) {
  write_file("file", "x");
  ASSERT_OK(symlink("file", path("link").c_str()));
  age("link");
  EXPECT_TRUE(modified("file"));
}

TEST_F(Times, WritesMoveTheFilesAndNamesTheDirectorys) {
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  write_file("dir/file", "x");
  age("dir/file");
  age("dir");
  EXPECT_EQ(write_all(open_file("dir/file", O_WRONLY), "y"), 1u);
  EXPECT_TRUE(modified("dir/file"));
  EXPECT_FALSE(modified("dir"));
  const std::vector<std::pair<const char*, std::function<int()>>> changes = {
      {"create", [&] { return static_cast<int>(open_file("dir/new", O_CREAT | O_WRONLY)); }},
      {"link", [&] { return ::link(path("dir/file").c_str(), path("dir/link").c_str()); }},
      {"rename", [&] { return ::rename(path("dir/link").c_str(), path("dir/moved").c_str()); }},
      {"unlink", [&] { return ::unlink(path("dir/moved").c_str()); }},
      {"mkdir", [&] { return ::mkdir(path("dir/sub").c_str(), 0755); }},
      {"rmdir", [&] { return ::rmdir(path("dir/sub").c_str()); }},
      {"symlink", [&] { return ::symlink("x", path("dir/soft").c_str()); }},
      {"mknod", [&] { return ::mkfifo(path("dir/fifo").c_str(), 0600); }},
  };
  for (const auto& [name, change] : changes) {
    age("dir");
    EXPECT_OK(change()) << name;
    EXPECT_TRUE(modified("dir")) << name;
  }
}

TEST_F(Times, TruncationMovesThemEvenToTheSameSize) {
  write_file("file", "content");
  age("file");
  ASSERT_OK(ftruncate(open_file("file", O_WRONLY), 7));
  EXPECT_TRUE(modified("file"));
  age("file");
  ASSERT_OK(open_file("file", O_WRONLY | O_TRUNC));
  EXPECT_TRUE(modified("file"));
  age("file");
  ASSERT_OK(fallocate(open_file("file", O_WRONLY), 0, 0, 5000));
  EXPECT_TRUE(modified("file"));
}

TEST_F(Times, MetadataChangesMoveTheChangeTimeOnly) {
  write_file("file", "content");
  age("file");
  const std::string name = path("file");
  EXPECT_TRUE(changes("file", [&] { EXPECT_OK(chmod(name.c_str(), 0600)); }));
  EXPECT_TRUE(changes("file", [&] { EXPECT_OK(chown(name.c_str(), kSomeone, kSomeone)); }));
  EXPECT_TRUE(changes("file", [&] { EXPECT_OK(setxattr(name.c_str(), "user.a", "1", 1, 0)); }));
  EXPECT_TRUE(changes("file", [&] { EXPECT_OK(removexattr(name.c_str(), "user.a")); }));
  EXPECT_TRUE(changes("file", [&] { EXPECT_OK(link(name.c_str(), path("link").c_str())); }));
  EXPECT_TRUE(changes("file", [&] { EXPECT_OK(unlink(path("link").c_str())); }));
  EXPECT_FALSE(changes("file", [&] { EXPECT_EQ(read_file("file"), "content"); }));
  EXPECT_FALSE(modified("file"));
}

}  // namespace
}  // namespace varve::posix
