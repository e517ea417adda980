// SPDX-License-Identifier: Apache-2.0
// Needs root and /dev/fuse. A process serves a mount and is killed between the moment that a change
// is in its journal and the moment that the program would hear of it; this process takes over.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <new>
#include <sstream>
#include <thread>

#include "fs/repository.h"
#include "mountd/fuse_mount.h"
#include "mountd/keeper/keeper_channel.h"
#include "mountd/keeper/keeper_texts.h"
#include "store/base/disk.h"
#include "store/base/error.h"
#include "tests/support/observed_volume.h"
#include "tests/support/idmapped_view.h"
#include "tests/support/temp_directory.h"

namespace varve::test {
namespace {

RepositoryOptions small_options() {
  RepositoryOptions options;
  options.store.journal_file_bytes = 1 << 20;
  return options;
}

/// What the two processes share.
struct Shared {
  std::atomic<bool> armed{false};  ///< the next change is the last one
  std::atomic<bool> stuck{false};  ///< it was made, and nobody has heard of it
};

class Takeover : public ::testing::Test {
 protected:
  Takeover() : mount_point_(directory_ / "mnt"), store_(directory_ / "store") {
    ::mkdir(mount_point_.c_str(), 0755);
    shared_ = new (::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared;
    auto [ours, theirs] = KeeperChannel::pair();
    child_ = ::fork();
    if (child_ == 0) serve(theirs);
    theirs.reset();
    const auto message = ours.receive(std::chrono::seconds(60));
    if (!message || message->type != KeeperMessage::Type::kMount) std::abort();
    kept_ = KeptMount::parse(message->text);
    device_ = Descriptor(::fcntl(message->descriptor.get(), F_DUPFD_CLOEXEC, 3));
  }

  ~Takeover() override {
    if (child_ > 0) kill_child();
    mount_.reset();
    volume_.reset();
    if (repository_) repository_->close();
    device_.reset();
    ::umount2(mount_point_.c_str(), MNT_DETACH | MNT_FORCE);
    ::munmap(shared_, sizeof(Shared));
  }

  /// Runs `change` in a thread, kills the process that has made it, and takes over. Returns the
  /// errno of the change, 0 if none.
  int across_a_death(const std::function<int()>& change) {
    shared_->armed = true;
    int code = -1;
    std::thread program([&] { code = change() == 0 ? 0 : errno; });
    while (!shared_->stuck) std::this_thread::yield();
    kill_child();
    take_over();
    program.join();
    return code;
  }

  void take_over() {
    RepositoryOptions options = small_options();
    options.resumed.emplace().emplace(VolumeId{kept_.volume_id}, kept_.since_lsn);
    repository_ = Repository::open(Disk::host(), store_, false, options);
    volume_ = std::make_shared<ObservedVolume>(repository_->resume("v"), [this] { ++changes_; });
    FuseMount::Options mount;
    mount.mountpoint = kept_.mount_point;
    mount.volume = "v";
    mount.allow_other = true;
    mount_ = FuseMount::resume(volume_, mount, {device_.release(), kept_.device, kept_.agreement});
  }

  std::string path(const std::string& name) const { return mount_point_ + "/" + name; }
  void make_file(const std::string& name, const std::string& content) const {
    std::ofstream(path(name)) << content;
  }
  std::string content(const std::string& name) const {
    std::stringstream out;
    out << std::ifstream(path(name)).rdbuf();
    return out.str();
  }
  bool exists(const std::string& name) const { return ::access(path(name).c_str(), F_OK) == 0; }
  struct stat status(const std::string& name) const {
    struct stat out {};
    EXPECT_EQ(::lstat(path(name).c_str(), &out), 0) << name;
    return out;
  }

  std::atomic<int> changes_{0};  ///< that this process has made

 private:
  [[noreturn]] void serve(const KeeperChannel& channel) {
    auto repository = Repository::open(Disk::host(), store_, true, small_options());
    Repository::CreateVolume creation;
    creation.name = "v";
    KeptMount kept;
    kept.volume_id = static_cast<std::uint64_t>(repository->create_volume(creation).row.id);
    kept.since_lsn = repository->store().journal().end();
    const auto volume = std::make_shared<ObservedVolume>(repository->attach("v"), [this] {
      if (!shared_->armed) return;
      shared_->stuck = true;
      for (;;) ::pause();
    });
    FuseMount::Options options;
    options.mountpoint = kept.mount_point = mount_point_;
    options.volume = "v";
    options.allow_other = true;
    const auto mount = FuseMount::mount(volume, options);
    const auto connection = mount->connection();
    if (!connection || !mount->why_not_kept().empty()) ::_exit(1);
    kept.device = connection->device;
    kept.agreement = connection->agreement;
    channel.send(
        {KeeperMessage::Type::kMount, 1, kept.text(), Descriptor(::dup(connection->descriptor))});
    for (;;) ::pause();
  }

  void kill_child() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

  TempDirectory directory_;
  const std::string mount_point_;
  const std::string store_;
  Shared* shared_ = nullptr;
  pid_t child_ = -1;
  KeptMount kept_;
  Descriptor device_;
  std::unique_ptr<Repository> repository_;
  std::shared_ptr<Volume> volume_;
  std::unique_ptr<FuseMount> mount_;
};

TEST_F(Takeover, AMadeDirectoryIsAnsweredAndNotMadeAgain) {
  EXPECT_EQ(across_a_death([&] { return ::mkdir(path("d").c_str(), 0750); }), 0);
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(status("d").st_mode & 07777, 0750u);
  EXPECT_EQ(status("").st_nlink, 3u);
}

TEST_F(Takeover, AnIdmappedViewGoesOn) {
  if (kLibraryLacksIdmapping) GTEST_SKIP() << "this libfuse lacks what the kernel asks for";
  if (!kernel_maps_ids()) GTEST_SKIP() << "the kernel lacks id-mapped FUSE mounts (Linux 6.12)";
  const TempDirectory place;
  ASSERT_EQ(::chmod(place.path().c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((place / "view").c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path("").c_str(), 0777), 0);
  const IdmappedView view(path(""), place / "view", 100000, 1000);
  ASSERT_EQ(view.error(), 0);
  EXPECT_EQ(across_a_death([&] { return ::mkdir(path("d").c_str(), 0750); }), 0);
  EXPECT_EQ(::chown((view / "d").c_str(), 100007, 100008), 0);
  EXPECT_EQ(status("d").st_uid, 7u);
  EXPECT_EQ(status("d").st_gid, 8u);
  ASSERT_EQ(as_user(100005, [&] { return ::mkdir((view / "e").c_str(), 0750); }), 0);
  EXPECT_EQ(status("e").st_uid, 5u);
}

TEST_F(Takeover, AnExclusiveCreateSucceedsOnce) {
  int file = -1;
  EXPECT_EQ(across_a_death([&] {
              file = ::open(path("f").c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
              return file < 0 ? -1 : 0;
            }),
            0);
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(::write(file, "text", 4), 4);
  ::close(file);
  EXPECT_EQ(content("f"), "text");
}

TEST_F(Takeover, ASymbolicLinkIsThere) {
  EXPECT_EQ(across_a_death([&] { return ::symlink("target", path("s").c_str()); }), 0);
  EXPECT_EQ(changes_, 0);
  char target[16] = {};
  EXPECT_EQ(::readlink(path("s").c_str(), target, sizeof target), 6);
}

TEST_F(Takeover, ALinkIsCountedOnce) {
  make_file("a", "x");
  EXPECT_EQ(across_a_death([&] { return ::link(path("a").c_str(), path("b").c_str()); }), 0);
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(status("a").st_nlink, 2u);
  EXPECT_EQ(status("a").st_ino, status("b").st_ino);
}

TEST_F(Takeover, AnUnlinkDoesNotSayThatThereIsNoSuchFile) {
  make_file("a", "x");
  EXPECT_EQ(across_a_death([&] { return ::unlink(path("a").c_str()); }), 0);
  EXPECT_EQ(changes_, 0);
  EXPECT_FALSE(exists("a"));
}

TEST_F(Takeover, ARemovedDirectoryIsGone) {
  ::mkdir(path("d").c_str(), 0755);
  EXPECT_EQ(across_a_death([&] { return ::rmdir(path("d").c_str()); }), 0);
  EXPECT_EQ(changes_, 0);
  EXPECT_FALSE(exists("d"));
  EXPECT_EQ(status("").st_nlink, 2u);
}

TEST_F(Takeover, ARenameHappensOnce) {
  make_file("a", "new");
  make_file("b", "old");
  EXPECT_EQ(across_a_death([&] { return ::rename(path("a").c_str(), path("b").c_str()); }), 0);
  EXPECT_EQ(changes_, 0);
  EXPECT_FALSE(exists("a"));
  EXPECT_EQ(content("b"), "new");
}

TEST_F(Takeover, AWriteIsAcknowledgedAndAppendsGoOnBehindIt) {
  const int file = ::open(path("f").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  ASSERT_EQ(::write(file, "one ", 4), 4);
  EXPECT_EQ(across_a_death([&] { return ::write(file, "two ", 4) == 4 ? 0 : -1; }), 0);
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(::write(file, "three", 5), 5);
  ::close(file);
  EXPECT_EQ(content("f"), "one two three");
}

TEST_F(Takeover, AttributesAndExtendedAttributes) {
  make_file("f", "x");
  EXPECT_EQ(
      across_a_death([&] { return ::setxattr(path("f").c_str(), "user.k", "v", 1, XATTR_CREATE); }),
      0);
  EXPECT_EQ(changes_, 0);
  char value[4] = {};
  EXPECT_EQ(::getxattr(path("f").c_str(), "user.k", value, sizeof value), 1);
}

TEST_F(Takeover, ARemovedAttributeIsNotMissing) {
  make_file("f", "x");
  ASSERT_EQ(::setxattr(path("f").c_str(), "user.k", "v", 1, 0), 0);
  EXPECT_EQ(across_a_death([&] { return ::removexattr(path("f").c_str(), "user.k"); }), 0);
  EXPECT_EQ(changes_, 0);
}

TEST_F(Takeover, ACutFileIsCutOnce) {
  make_file("f", "0123456789");
  EXPECT_EQ(across_a_death([&] { return ::truncate(path("f").c_str(), 4); }), 0);
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(content("f"), "0123");
}

TEST_F(Takeover, AnAllocationIsAnswered) {
  make_file("f", "x");
  const int file = ::open(path("f").c_str(), O_RDWR);
  EXPECT_EQ(across_a_death([&] { return ::fallocate(file, 0, 0, 100'000); }), 0);
  EXPECT_EQ(changes_, 0);
  ::close(file);
  EXPECT_EQ(status("f").st_size, 100'000);
}

TEST_F(Takeover, ATemporaryFileLivesAndCanGetAName) {
  // O_TMPFILE came with it.
  if (FUSE_VERSION < FUSE_MAKE_VERSION(3, 17)) GTEST_SKIP() << "this libfuse lacks O_TMPFILE";
  int file = -1;
  EXPECT_EQ(across_a_death([&] {
              file = ::open(path("").c_str(), O_TMPFILE | O_RDWR, 0600);
              return file < 0 ? -1 : 0;
            }),
            0);
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(::write(file, "kept", 4), 4);
  EXPECT_EQ(::linkat(file, "", AT_FDCWD, path("named").c_str(), AT_EMPTY_PATH), 0);
  ::close(file);
  EXPECT_EQ(content("named"), "kept");
}

TEST_F(Takeover, ACopyIsMadeAgain) {
  make_file("a", "0123456789");
  make_file("b", "");
  const int from = ::open(path("a").c_str(), O_RDONLY);
  const int to = ::open(path("b").c_str(), O_WRONLY);
  EXPECT_EQ(across_a_death([&] {
              return ::copy_file_range(from, nullptr, to, nullptr, 10, 0) == 10 ? 0 : -1;
            }),
            0);
  EXPECT_EQ(changes_, 1) << "it may have been several changes";
  ::close(from);
  ::close(to);
  EXPECT_EQ(content("b"), "0123456789");
}

TEST_F(Takeover, OpenFilesMapsAndListingsGoOn) {
  make_file("gone", "still here");
  const int gone = ::open(path("gone").c_str(), O_RDWR);
  ASSERT_EQ(::unlink(path("gone").c_str()), 0);
  make_file("mapped", std::string(8192, 'a'));
  const int mapped = ::open(path("mapped").c_str(), O_RDWR);
  auto* const map =
      static_cast<char*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0));
  map[0] = 'b';
  EXPECT_EQ(across_a_death([&] { return ::mkdir(path("d").c_str(), 0755); }), 0);
  map[4096] = 'c';
  EXPECT_EQ(::msync(map, 8192, MS_SYNC), 0);
  ::munmap(map, 8192);
  ::close(mapped);
  EXPECT_EQ(content("mapped"), "b" + std::string(4095, 'a') + "c" + std::string(4095, 'a'));
  char text[16] = {};
  EXPECT_EQ(::pread(gone, text, sizeof text, 0), 10);
  EXPECT_STREQ(text, "still here");
  ::close(gone);
}

}  // namespace
}  // namespace varve::test
