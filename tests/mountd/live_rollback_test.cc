// SPDX-License-Identifier: Apache-2.0
// Rollback of a mounted volume, seen through the kernel's caches. Needs root and /dev/fuse.
#include <dirent.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "fs/repository.h"
#include "tests/support/mounted_volume.h"

namespace varve::test {
namespace {

/// A volume of a real store on a real mount.
class LiveVolume {
 public:
  LiveVolume() {
    ::mkdir(point_.c_str(), 0755);
    Repository::CreateVolume request;
    request.name = "v";
    repository_->create_volume(request);
    FuseMount::Options options;
    options.mountpoint = point_;
    options.volume = "v";
    mount_ = FuseMount::mount(repository_->attach("v"), options);
  }
  ~LiveVolume() {
    mount_.reset();
    ::umount2(point_.c_str(), MNT_DETACH | MNT_FORCE);
    repository_->close();
  }
  LiveVolume(const LiveVolume&) = delete;
  LiveVolume& operator=(const LiveVolume&) = delete;

  const std::string& path() const { return point_; }
  std::string operator/(const std::string& name) const { return point_ + "/" + name; }

  void snapshot(const std::string& name) {
    mount_->flush_kernel();
    repository_->create_snapshot("v", name, {});
  }
  /// As the daemon does it; on return the command would return.
  void rollback(const std::string& name) {
    mount_->flush_kernel();
    repository_->rollback("v", name, [&](const std::shared_ptr<const VolumeChanges>& changes) {
      mount_->invalidate(changes);
    });
    mount_->finish_invalidation();
  }
  std::uint64_t notifications() const { return mount_->figures().notifications; }
  /// Those that the kernel's caches can save: it never keeps an extended attribute, so each
  /// getxattr(2) is asked whatever a rollback tells the kernel.
  std::uint64_t requests() const {
    std::uint64_t total = 0;
    for (const auto& [type, count] : mount_->figures().requests)
      if (type != "forget" && type != "getxattr") total += count;
    return total;
  }

 private:
  static RepositoryOptions options() {
    RepositoryOptions out;
    out.store.journal_file_bytes = 8 << 20;
    out.store.reserve_bytes = 0;
    return out;
  }

  TempDirectory directory_;
  const std::string point_ = directory_ / "mnt";
  std::unique_ptr<Repository> repository_ =
      Repository::open(Disk::host(), directory_ / "store", true, options());
  std::unique_ptr<FuseMount> mount_;
};

std::string text_of_time(const timespec& time) {
  return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
}

std::string stat_text(const struct stat& s) {
  std::string out;
  for (const std::uint64_t part :
       {std::uint64_t{s.st_ino}, std::uint64_t{s.st_mode}, std::uint64_t{s.st_nlink},
        std::uint64_t{s.st_uid}, static_cast<std::uint64_t>(s.st_size)})
    out += std::to_string(part) + " ";
  return out + text_of_time(s.st_mtim) + " " + text_of_time(s.st_ctim);
}

/// What lstat, readdir, read, readlink and getxattr show of everything below `path`.
void look(const std::string& path, std::map<std::string, std::string>& out) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    out[path] = "errno " + std::to_string(errno);
    return;
  }
  std::string text = stat_text(status);
  char value[64];
  if (const ssize_t got = ::lgetxattr(path.c_str(), "user.test", value, sizeof value); got >= 0)
    text += " xattr " + std::string(value, static_cast<std::size_t>(got));
  if (S_ISLNK(status.st_mode)) text += " -> " + std::filesystem::read_symlink(path).string();
  if (S_ISREG(status.st_mode)) text += " holds " + read_file(path);
  out[path] = text;
  if (!S_ISDIR(status.st_mode)) return;
  std::vector<std::string> names;
  DIR* directory = ::opendir(path.c_str());
  ASSERT_NE(directory, nullptr);
  while (const dirent* entry = ::readdir(directory))
    if (std::string name = entry->d_name; name != "." && name != "..") names.push_back(name);
  ::closedir(directory);
  for (const std::string& name : names) look(path + "/" + name, out);
}

std::map<std::string, std::string> view_of(const std::string& path) {
  std::map<std::string, std::string> out;
  look(path, out);
  return out;
}

/// Names the first differences only: a whole tree would fill the screen.
void expect_same(const std::map<std::string, std::string>& wanted,
                 const std::map<std::string, std::string>& found) {
  int shown = 0;
  for (const auto& [path, text] : wanted) {
    const auto at = found.find(path);
    if (at != found.end() && at->second == text) continue;
    ADD_FAILURE() << path << "\n wanted " << text.substr(0, 200) << "\n found  "
                  << (at == found.end() ? "nothing" : at->second.substr(0, 200));
    if (++shown == 5) return;
  }
  for (const auto& [path, text] : found)
    if (!wanted.contains(path) && ++shown <= 5) ADD_FAILURE() << path << " should not be there";
}

/// Changes that meet each kind of thing a kernel caches.
class Changes {
 public:
  Changes(std::string root, std::uint64_t seed) : root_(std::move(root)), random_(seed) {}

  std::string directory() { return root_ + "/d" + std::to_string(random_() % 4); }
  std::string any() { return directory() + "/" + std::to_string(random_() % 12); }

  void make(int count) {
    for (int i = 0; i < 4; ++i) ::mkdir((root_ + "/d" + std::to_string(i)).c_str(), 0755);
    for (int i = 0; i < count; ++i) step();
  }

  void step() {
    const std::string one = any(), other = any();
    switch (random_() % 12) {
      case 0:
      case 1:
      case 2:
        write_file(one, std::string(random_() % 9000, static_cast<char>('a' + random_() % 26)));
        break;
      case 3:
        ::unlink(one.c_str());
        ::rmdir(one.c_str());
        break;
      case 4:
        ::rename(one.c_str(), other.c_str());
        break;
      case 5:
        attempt(::link(one.c_str(), other.c_str()));
        break;
      case 6:
        attempt(::symlink(("to" + std::to_string(random_() % 99)).c_str(), one.c_str()));
        break;
      case 7:
        ::mkdir(one.c_str(), 0755);
        break;
      case 8:
        ::chmod(one.c_str(), static_cast<mode_t>(0600 + random_() % 64));
        break;
      case 9:
        attempt(::truncate(one.c_str(), static_cast<off_t>(random_() % 9000)));
        break;
      case 10:
        ::setxattr(one.c_str(), "user.test", &one, random_() % 16 + 1, 0);
        break;
      default:
        write_file(one + "/" + std::to_string(random_() % 3), "inner");
    }
  }

 private:
  /// Many of them cannot be done on what is there.
  static void attempt(int) {}

  const std::string root_;
  std::mt19937_64 random_;
};

/// Asks for names that are there and for names that are not, for as long as it lives.
class Lookers {
 public:
  explicit Lookers(const std::string& root) {
    for (std::uint64_t i = 0; i < 2; ++i)
      threads_.emplace_back([this, root, i] {
        Changes names(root, 1000 + i);
        while (!stop_.load()) {
          struct stat status {};
          const std::string path = names.any();
          ::lstat(path.c_str(), &status);
          read_file(path);
          ::lstat((path + "/0").c_str(), &status);
          if (DIR* directory = ::opendir(path.substr(0, path.rfind('/')).c_str())) {
            while (::readdir(directory) != nullptr) {
            }
            ::closedir(directory);
          }
        }
      });
  }
  ~Lookers() {
    stop_.store(true);
    for (std::thread& thread : threads_) thread.join();
  }
  Lookers(const Lookers&) = delete;
  Lookers& operator=(const Lookers&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

TEST(LiveRollback, ShowsTheSnapshotEverywhereAfterRandomChanges) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    LiveVolume live;
    Changes changes(live.path(), seed);
    changes.make(150);
    live.snapshot("s");
    const auto wanted = view_of(live.path());
    for (int round = 0; round < 4; ++round) {
      changes.make(40);
      view_of(live.path());  // all of it is in the kernel's cache
      live.rollback("s");
      expect_same(wanted, view_of(live.path()));
    }
  }
}

TEST(LiveRollback, LeavesNothingOldThatALookupBroughtInMeanwhile) {
  LiveVolume live;
  Changes changes(live.path(), 77);
  changes.make(150);
  live.snapshot("s");
  const auto wanted = view_of(live.path());
  for (int round = 0; round < 40; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    changes.make(40);
    {
      const Lookers lookers(live.path());
      live.rollback("s");
    }
    expect_same(wanted, view_of(live.path()));
  }
}

/// One page of a file, mapped shared for reading.
class MappedPage {
 public:
  explicit MappedPage(const OpenFile& file)
      : at_(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file.get(), 0)) {}
  ~MappedPage() { ::munmap(at_, 4096); }
  MappedPage(const MappedPage&) = delete;
  MappedPage& operator=(const MappedPage&) = delete;
  char first() const { return *static_cast<volatile const char*>(at_); }

 private:
  void* const at_;
};

TEST(LiveRollback, OpenFilesAndMappingsSeeTheSnapshot) {
  LiveVolume live;
  const std::string old_text(10'000, 'o'), new_text(20'000, 'n');
  ASSERT_TRUE(write_file(live / "f", old_text));
  struct stat before {};
  ASSERT_EQ(::stat((live / "f").c_str(), &before), 0);
  live.snapshot("s");
  ASSERT_TRUE(write_file(live / "f", new_text));
  ASSERT_TRUE(write_file(live / "later", "x"));
  const OpenFile file(live / "f", O_RDONLY);
  const OpenFile later(live / "later", O_RDONLY);
  const MappedPage page(file);
  std::string buffer(30'000, '\0');
  ASSERT_EQ(::pread(file.get(), buffer.data(), buffer.size(), 0), 20'000);
  ASSERT_EQ(page.first(), 'n');

  live.rollback("s");
  EXPECT_EQ(page.first(), 'o');
  EXPECT_EQ(::pread(file.get(), buffer.data(), buffer.size(), 0), 10'000);
  EXPECT_EQ(buffer.substr(0, 10'000), old_text);
  struct stat after {};
  ASSERT_EQ(::fstat(file.get(), &after), 0);
  EXPECT_EQ(stat_text(after), stat_text(before));
  EXPECT_EQ(read_file(live / "f"), old_text);
  EXPECT_NE(::fstat(later.get(), &after), 0) << "the file does not exist in this state";
}

TEST(LiveRollback, TouchesOnlyWhatDiffersAtTwentyThousandFiles) {
  LiveVolume live;
  constexpr int kFiles = 20'000, kDirectories = 20;
  for (int d = 0; d < kDirectories; ++d)
    ASSERT_EQ(::mkdir((live / ("d" + std::to_string(d))).c_str(), 0755), 0);
  const auto path = [&](int i) {
    return live / ("d" + std::to_string(i % kDirectories) + "/" + std::to_string(i));
  };
  for (int i = 0; i < kFiles; ++i) ASSERT_TRUE(write_file(path(i), std::to_string(i)));
  live.snapshot("s");
  const auto wanted = view_of(live.path());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(write_file(path(i * 7), "changed"));
  ASSERT_EQ(::unlink(path(3).c_str()), 0);
  ASSERT_EQ(::access(path(3).c_str(), F_OK), -1);
  ASSERT_TRUE(write_file(path(kFiles), "new"));
  view_of(live.path());

  const std::uint64_t notified = live.notifications();
  live.rollback("s");
  EXPECT_LT(live.notifications() - notified, 400u);
  EXPECT_EQ(read_file(path(7)), "7");
  EXPECT_EQ(read_file(path(3)), "3");
  EXPECT_EQ(::access(path(kFiles).c_str(), F_OK), -1);
  const std::uint64_t asked = live.requests();
  expect_same(wanted, view_of(live.path()));
  // Each file that the kernel has to ask for costs a request or more; it may drop some by itself.
  EXPECT_LT(live.requests() - asked, kFiles / 4u)
      << "what has not changed stays in the kernel's cache";
}

}  // namespace
}  // namespace varve::test
