// SPDX-License-Identifier: Apache-2.0
// Needs root and /dev/fuse.
#include "mountd/fuse_mount.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "store/base/error.h"
#include "tests/support/mounted_volume.h"

namespace varve::test {
namespace {

/// The sentence and errno of the UserError that `body` throws; "" and 0 if none.
struct Refusal {
  std::string sentence;
  int code = 0;
};
Refusal refusal_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& error) {
    return {error.what(), error.code()};
  }
  return {};
}

std::shared_ptr<SharedVolume> new_volume() { return std::make_shared<SharedVolume>(&real_time); }

FuseMount::Options at(const std::string& path) {
  FuseMount::Options options;
  options.mountpoint = path;
  options.volume = "test";
  return options;
}

std::string mount_line(const std::string& path) {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);)
    if (line.find(" " + path + " ") != line.npos) return line;
  return "";
}

/// Bytes of the volume itself, past the kernel.
std::string stored(SharedVolume& volume, const std::string& name) {
  return volume.with([&](MemoryVolume& memory) {
    const auto file = memory.lookup(kRootIno, name);
    if (!file) return std::string("<missing>");
    memory.forget(file->ino, 1);
    std::string out(file->size, '\0');
    const std::size_t got =
        memory.read(file->ino, 0, std::as_writable_bytes(std::span<char>(out.data(), out.size())));
    return out.substr(0, got);
  });
}

TEST(FuseMount, RefusesUnusableMountPointsWithASentence) {
  const TempDirectory directory;
  const Refusal missing = refusal_of([&] { FuseMount::mount(new_volume(), at(directory / "no")); });
  EXPECT_EQ(missing.code, ENOENT);
  EXPECT_NE(missing.sentence.find(directory / "no"), std::string::npos) << missing.sentence;
  ASSERT_TRUE(write_file(directory / "file", "x"));
  EXPECT_EQ(refusal_of([&] { FuseMount::mount(new_volume(), at(directory / "file")); }).code,
            ENOTDIR);
  ASSERT_EQ(::symlink("/", (directory / "link").c_str()), 0);
  EXPECT_EQ(refusal_of([&] { FuseMount::mount(new_volume(), at(directory / "link")); }).code,
            ENOTDIR);
  const MountedVolume mounted;
  const Refusal twice = refusal_of([&] { FuseMount::mount(new_volume(), at(mounted.path())); });
  EXPECT_EQ(twice.code, EBUSY);
  EXPECT_NE(twice.sentence.find("mount already"), std::string::npos) << twice.sentence;
  EXPECT_TRUE(write_file(mounted / "f", "still works"));
}

TEST(FuseMount, ShowsNameAndOptionsInTheMountTable) {
  FuseMount::Options options;
  options.volume = "my volume,1";
  options.nosuid = true;
  options.nodev = true;
  options.allow_other = true;
  const MountedVolume mounted(options);
  const std::string line = mount_line(mounted.path());
  EXPECT_EQ(line.rfind("varve\\043my\\040volume,1 ", 0), 0u) << line;
  EXPECT_NE(line.find(" fuse.varve "), std::string::npos) << line;
  for (const char* word : {"nosuid", "nodev", "default_permissions", "allow_other"})
    EXPECT_NE(line.find(word), std::string::npos) << line;
  EXPECT_EQ(mounted.mount->options().fsname, "varve#my volume,1");
  EXPECT_EQ(mounted.mount->transport(), MountedVolume::over_uring() ? FuseMount::Transport::kUring
                                                                    : FuseMount::Transport::kPlain);
}

TEST(FuseMount, RelativeMountPointsStartAtTheWorkingDirectory) {
  const TempDirectory directory;
  ASSERT_EQ(::mkdir((directory / "mnt").c_str(), 0755), 0);
  char before[4096];
  ASSERT_NE(::getcwd(before, sizeof before), nullptr);
  ASSERT_EQ(::chdir(directory.path().c_str()), 0);
  auto mount = FuseMount::mount(new_volume(), at("mnt"));
  ASSERT_EQ(::chdir(before), 0);
  EXPECT_EQ(mount->options().mountpoint, directory / "mnt");
  mount->unmount();
  EXPECT_EQ(mount_line(directory / "mnt"), "");
}

TEST(FuseMount, ReadOnlyVolumesMountReadOnly) {
  const MountedVolume mounted({}, true);
  EXPECT_FALSE(write_file(mounted / "f", "x"));
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(mounted.mount->options().read_only);
  EXPECT_TRUE(mounted.mount->flush_kernel());
}

TEST(FuseMount, UnmountDropsTheVolume) {
  MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "x"));
  const std::weak_ptr<SharedVolume> volume = mounted.volume;
  EXPECT_EQ(volume.use_count(), 2);
  EXPECT_TRUE(mounted.mount->alive());
  mounted.mount->unmount();
  EXPECT_FALSE(mounted.mount->alive());
  EXPECT_EQ(volume.use_count(), 1);
  EXPECT_EQ(mount_line(mounted.path()), "");
  mounted.mount->unmount();  // again: nothing to do
  mounted.mount->wait();
  EXPECT_TRUE(mounted.mount->flush_kernel());
  mounted.mount->invalidate(nullptr);
  mounted.mount->finish_invalidation();
}

TEST(FuseMount, UnmountByOthersEndsIt) {
  MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "x"));
  ASSERT_EQ(::umount2(mounted.path().c_str(), 0), 0);
  mounted.mount->wait();
  EXPECT_FALSE(mounted.mount->alive());
  EXPECT_EQ(mounted.volume.use_count(), 1);
}

TEST(FuseMount, BusyMountsAreRefusedAndKeepWorking) {
  MountedVolume mounted;
  {
    const OpenFile file(mounted / "f", O_RDWR | O_CREAT);
    const Refusal busy = refusal_of([&] { mounted.mount->unmount(); });
    EXPECT_EQ(busy.code, EBUSY);
    EXPECT_NE(busy.sentence.find("in use"), std::string::npos) << busy.sentence;
    EXPECT_TRUE(mounted.mount->alive());
    EXPECT_EQ(::write(file.get(), "x", 1), 1);
  }
  mounted.mount->unmount();
  EXPECT_FALSE(mounted.mount->alive());
}

TEST(FuseMount, DetachServesOpenFilesUntilTheLastIsClosed) {
  MountedVolume mounted;
  {
    const OpenFile file(mounted / "f", O_RDWR | O_CREAT);
    ASSERT_EQ(::write(file.get(), "before", 6), 6);
    mounted.mount->unmount(FuseMount::Busy::kDetach);
    EXPECT_EQ(mount_line(mounted.path()), "");
    EXPECT_TRUE(mounted.mount->alive());
    EXPECT_FALSE(mounted.mount->flush_kernel());  // out of reach
    ASSERT_EQ(::write(file.get(), "+after", 6), 6);
    EXPECT_EQ(stored(*mounted.volume, "f"), "before+after");
  }
  mounted.mount->wait();
  EXPECT_FALSE(mounted.mount->alive());
}

TEST(FuseMount, AbortEndsABusyMountAtOnce) {
  MountedVolume mounted;
  const OpenFile file(mounted / "f", O_RDWR | O_CREAT);
  ASSERT_EQ(::write(file.get(), "x", 1), 1);
  mounted.mount->unmount(FuseMount::Busy::kAbort);
  EXPECT_FALSE(mounted.mount->alive());
  EXPECT_EQ(::write(file.get(), "y", 1), -1);
  EXPECT_TRUE(errno == ENOTCONN || errno == ECONNABORTED) << errno;
  EXPECT_EQ(mounted.volume.use_count(), 1);
}

TEST(FuseMount, DestructionEndsABusyMountAndABlockedCall) {
  MountedVolume mounted;
  const OpenFile file(mounted / "f", O_RDWR | O_CREAT);
  ASSERT_EQ(::write(file.get(), "x", 1), 1);
  mounted.volume->fsync_gate.close();
  std::thread waiting([&] { ::fsync(file.get()); });
  mounted.volume->fsync_gate.wait_for(1);
  std::thread opener([&] {
    // The mount ends while the call is inside the volume; the call is let go on after that.
    while (!mount_line(mounted.path()).empty()) std::this_thread::yield();
    mounted.volume->fsync_gate.open();
  });
  mounted.mount.reset();
  opener.join();
  waiting.join();
  EXPECT_EQ(mounted.volume.use_count(), 1);
  EXPECT_EQ(::pwrite(file.get(), "y", 1, 0), -1);
}

TEST(FuseMount, FsyncCallersDoNotHoldTheWorkers) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "f", "x"));
  mounted.volume->fsync_gate.close();
  std::vector<std::thread> callers;
  std::atomic<int> failed{0};
  // A ring has room for 32 requests of its core, whoever answers them.
  const int count = MountedVolume::over_uring() ? 16 : 64;
  for (int i = 0; i < count; ++i) {
    callers.emplace_back([&, i] {
      const OpenFile file(mounted / ("f" + std::to_string(i)), O_RDWR | O_CREAT);
      if (!file.valid() || ::write(file.get(), "x", 1) != 1 || ::fsync(file.get()) != 0)
        failed.fetch_add(1);
    });
  }
  mounted.volume->fsync_gate.wait_for(
      static_cast<std::size_t>(count));  // one flush could answer all
  for (int i = 0; i < 100; ++i) {
    struct stat status {};
    EXPECT_EQ(::stat((mounted / ("missing" + std::to_string(i))).c_str(), &status), -1);
    EXPECT_EQ(errno, ENOENT);
  }
  EXPECT_TRUE(write_file(mounted / "while waiting", "x"));
  EXPECT_EQ(mounted.volume->fsyncs(), 0u);
  mounted.volume->fsync_gate.open();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed.load(), 0);
  EXPECT_EQ(mounted.volume->fsyncs(), static_cast<std::uint64_t>(count));
}

TEST(FuseMount, WritersThatAreHeldBackDoNotHoldTheRest) {
  // With io_uring the first one holds its core's ring: the library answers in the ring's own
  // thread.
  if (MountedVolume::over_uring()) return;
  FuseMount::Options options;
  options.max_threads = 4;
  const MountedVolume mounted(options);
  std::vector<std::unique_ptr<OpenFile>> files;
  for (int i = 0; i < 16; ++i)
    files.push_back(std::make_unique<OpenFile>(mounted / std::to_string(i), O_RDWR | O_CREAT));
  mounted.volume->write_gate.close();
  std::vector<std::thread> writers;
  std::atomic<int> failed{0};
  for (int i = 0; i < 16; ++i)
    writers.emplace_back([&, i] {
      const std::string text = "text of " + std::to_string(i);
      if (::write(files[static_cast<std::size_t>(i)]->get(), text.data(), text.size()) !=
          static_cast<ssize_t>(text.size()))
        failed.fetch_add(1);
    });
  mounted.volume->write_gate.wait_for(16);
  struct stat status {};
  EXPECT_EQ(::stat((mounted / "missing").c_str(), &status), -1);
  EXPECT_EQ(errno, ENOENT);
  mounted.volume->write_gate.open();
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(failed.load(), 0);
  for (int i = 0; i < 16; ++i)
    EXPECT_EQ(stored(*mounted.volume, std::to_string(i)), "text of " + std::to_string(i));
}

/// A file mapped shared and writable.
class Mapping {
 public:
  Mapping(const std::string& path, std::size_t size) : file_(path, O_RDWR | O_CREAT), size_(size) {
    if (::ftruncate(file_.get(), static_cast<off_t>(size)) != 0) return;
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (at != MAP_FAILED) bytes_ = static_cast<volatile char*>(at);
  }
  ~Mapping() {
    if (bytes_ != nullptr) ::munmap(const_cast<char*>(bytes_), size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  volatile char* bytes() { return bytes_; }

 private:
  const OpenFile file_;
  const std::size_t size_;
  volatile char* bytes_ = nullptr;
};

TEST(FuseMount, FlushKernelBringsEveryMmapStore) {
  const MountedVolume mounted;
  constexpr std::size_t kPages = 2000;
  Mapping mapping(mounted / "mapped", kPages * 4096);
  ASSERT_NE(mapping.bytes(), nullptr);
  for (int round = 1; round <= 20; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    for (std::size_t page = 0; page < kPages; page += 2)  // apart: a WRITE each
      mapping.bytes()[page * 4096] = static_cast<char>(round);
    ASSERT_TRUE(mounted.mount->flush_kernel());
    const std::string content = stored(*mounted.volume, "mapped");
    ASSERT_EQ(content.size(), kPages * 4096);
    std::size_t stale = 0;
    for (std::size_t page = 0; page < kPages; page += 2)
      if (content[page * 4096] != static_cast<char>(round)) ++stale;
    ASSERT_EQ(stale, 0u);
  }
}

TEST(FuseMount, FlushKernelWaitsForWritesThatAreBeingAnswered) {
  const MountedVolume mounted;
  Mapping mapping(mounted / "mapped", 4096);
  ASSERT_NE(mapping.bytes(), nullptr);
  mounted.volume->write_gate.close();
  mapping.bytes()[0] = 'x';
  std::atomic<bool> done{false};
  std::thread flusher([&] {
    EXPECT_TRUE(mounted.mount->flush_kernel());
    EXPECT_EQ(stored(*mounted.volume, "mapped")[0], 'x');
    done.store(true);
  });
  mounted.volume->write_gate.wait_for(1);
  EXPECT_FALSE(done.load());
  mounted.volume->write_gate.open();
  flusher.join();
}

TEST(FuseMount, FlushKernelUnderLoadSeesWhatWasStoredBeforeIt) {
  const MountedVolume mounted;
  std::atomic<bool> stop{false};
  std::vector<std::thread> load;
  for (int t = 0; t < 3; ++t)
    load.emplace_back([&, t] {
      const OpenFile file(mounted / ("load" + std::to_string(t)), O_RDWR | O_CREAT);
      const std::string block(4096, 'l');
      for (off_t at = 0; !stop.load(); at = (at + 4096) % (1 << 20))
        if (::pwrite(file.get(), block.data(), block.size(), at) < 0) return;
    });
  {
    Mapping mapping(mounted / "mapped", 256 * 4096);
    ASSERT_NE(mapping.bytes(), nullptr);
    for (int round = 1; round <= 20; ++round) {
      for (int page = 0; page < 256; page += 3)
        mapping.bytes()[page * 4096] = static_cast<char>(round);
      EXPECT_TRUE(mounted.mount->flush_kernel());
      const std::string content = stored(*mounted.volume, "mapped");
      int stale = 0;
      for (std::size_t page = 0; page < 256; page += 3)
        if (content[page * 4096] != static_cast<char>(round)) ++stale;
      EXPECT_EQ(stale, 0) << "round " << round;
    }
  }
  stop.store(true);
  for (std::thread& thread : load) thread.join();
}

TEST(FuseMount, FlushKernelWorksWithTheWriteBackCache) {
  FuseMount::Options options;
  options.writeback = true;
  const MountedVolume mounted(options);
  const OpenFile file(mounted / "f", O_RDWR | O_CREAT);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(::write(file.get(), "x", 1), 1);
  EXPECT_TRUE(mounted.mount->flush_kernel());
  EXPECT_EQ(stored(*mounted.volume, "f"), std::string(1000, 'x'));
  EXPECT_LT(mounted.requests().at("write"), 100u);
}

TEST(FuseMount, FlushKernelReportsWhatCouldNotBeWritten) {
  const MountedVolume mounted;
  Mapping mapping(mounted / "mapped", 4096);
  ASSERT_NE(mapping.bytes(), nullptr);
  ASSERT_TRUE(mounted.mount->flush_kernel());
  mounted.volume->fail("write", [] { throw StoreError(ENOSPC, "full"); });
  mapping.bytes()[0] = 'x';
  int code = 0;
  try {
    mounted.mount->flush_kernel();
  } catch (const StoreError& error) {
    code = error.code();
  }
  EXPECT_EQ(code, ENOSPC);
  mounted.volume->repair("write");
  mapping.bytes()[0] = 'y';
  EXPECT_TRUE(mounted.mount->flush_kernel());
  EXPECT_EQ(stored(*mounted.volume, "mapped")[0], 'y');
}

TEST(FuseMount, InvalidateAllShowsAVolumeThatChangedBelow) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "same", "old content"));
  ASSERT_TRUE(write_file(mounted / "gone", "x"));
  ASSERT_EQ(::symlink("old", (mounted / "link").c_str()), 0);
  ASSERT_EQ(::mkdir((mounted / "d").c_str(), 0755), 0);
  ASSERT_EQ(::access((mounted / "d/new").c_str(), F_OK), -1);
  const OpenFile open_before(mounted / "same", O_RDONLY);
  char text[32] = {};
  ASSERT_EQ(::pread(open_before.get(), text, sizeof text, 0), 11);
  mounted.volume->with([&](MemoryVolume& volume) {
    const Attributes same = *volume.lookup(kRootIno, "same");
    volume.write(same.ino, 0, as_bytes("new"), false);
    volume.unlink(kRootIno, "gone");
    volume.make_node(volume.lookup(kRootIno, "d")->ino, "new", 0100644, 0, {});
    return 0;
  });
  // Nothing told the kernel: it shows the old state.
  EXPECT_EQ(read_file(mounted / "same"), "old content");
  EXPECT_EQ(::access((mounted / "gone").c_str(), F_OK), 0);
  EXPECT_EQ(::access((mounted / "d/new").c_str(), F_OK), -1);
  mounted.mount->invalidate(nullptr);
  mounted.mount->finish_invalidation();
  EXPECT_EQ(read_file(mounted / "same"), "new content");
  EXPECT_EQ(::pread(open_before.get(), text, sizeof text, 0), 11);
  EXPECT_EQ(std::string(text, 11), "new content");
  EXPECT_EQ(::access((mounted / "gone").c_str(), F_OK), -1);
  EXPECT_EQ(::access((mounted / "d/new").c_str(), F_OK), 0);
  EXPECT_GT(mounted.mount->figures().notifications, 0u);
}

TEST(FuseMount, InvalidateAllReturnsWhileWritesAreHeldUp) {
  const MountedVolume mounted;
  const OpenFile file(mounted / "f", O_RDWR | O_CREAT);
  ASSERT_EQ(::write(file.get(), "x", 1), 1);
  mounted.volume->write_gate.close();
  std::thread writer([&] { EXPECT_EQ(::pwrite(file.get(), "y", 1, 0), 1); });
  mounted.volume->write_gate.wait_for(1);  // the kernel holds the page locked
  mounted.mount->invalidate(nullptr);
  mounted.volume->write_gate.open();
  mounted.mount->finish_invalidation();
  writer.join();
  EXPECT_EQ(stored(*mounted.volume, "f"), "y");
}

TEST(FuseMount, DestructionUnmountsEvenWhenDirtyPagesCannotBeWritten) {
  MountedVolume mounted;
  {
    Mapping mapping(mounted / "mapped", 4096);
    ASSERT_NE(mapping.bytes(), nullptr);
    mounted.volume->fail("write", [] { throw StoreError(ENOSPC, "full"); });
    mapping.bytes()[0] = 'x';
    mounted.mount.reset();
  }
  EXPECT_EQ(mount_line(mounted.path()), "");
}

TEST(FuseMount, SeveralMountsLiveSideBySide) {
  std::vector<std::unique_ptr<MountedVolume>> mounts;
  for (int i = 0; i < 5; ++i) mounts.push_back(std::make_unique<MountedVolume>());
  for (std::size_t i = 0; i < mounts.size(); ++i)
    ASSERT_TRUE(write_file(*mounts[i] / "f", std::to_string(i)));
  mounts[2]->mount->unmount();
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    if (i != 2) {
      EXPECT_EQ(read_file(*mounts[i] / "f"), std::to_string(i));
    }
  }
}

TEST(FuseMount, UringIsRefusedWithASentenceWhereItIsSwitchedOff) {
  std::ifstream file("/sys/module/fuse/parameters/enable_uring");
  char enabled = 'N';
  file >> enabled;
  const TempDirectory directory;
  FuseMount::Options options = at(directory.path());
  options.transport = FuseMount::Transport::kUring;
  if (enabled != 'Y') {
    const Refusal refused = refusal_of([&] { FuseMount::mount(new_volume(), options); });
    EXPECT_NE(refused.code, 0);
    EXPECT_NE(refused.sentence.find("--transport=plain"), std::string::npos) << refused.sentence;
    return;
  }
  const auto mount = FuseMount::mount(new_volume(), options);
  EXPECT_EQ(mount->transport(), FuseMount::Transport::kUring);
}

/// Runs `body` in a child with the ids of nobody; its exit status.
int child_as_nobody(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(99);
    int status = 98;
    try {
      status = body();
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

/// A directory of nobody's, to mount on.
class DirectoryOfNobody {
 public:
  DirectoryOfNobody() {
    ::chmod(directory_.path().c_str(), 0755);
    ::mkdir(path().c_str(), 0700);
    if (::chown(path().c_str(), 65534, 65534) != 0) throw_errno("chown");
  }
  std::string path() const { return directory_ / "mine"; }
  std::string operator/(const std::string& name) const { return path() + "/" + name; }
  const TempDirectory& above() const { return directory_; }

 private:
  TempDirectory directory_;
};

TEST(FuseMount, UnprivilegedUsersMountThroughFusermount) {
  const DirectoryOfNobody mine;
  const std::string device = mine.above() / "fuse";
  ASSERT_EQ(::mknod(device.c_str(), S_IFCHR | 0666, makedev(10, 229)), 0);
  ASSERT_EQ(::chmod(device.c_str(), 0666), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // In a mount namespace of our own /dev/fuse is open to all, as on most systems.
    const bool ready = ::unshare(CLONE_NEWNS) == 0 &&
                       ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       ::mount(device.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) == 0;
    if (!ready) ::_exit(97);
    ::_exit(child_as_nobody([&] {
      auto volume = new_volume();
      SetAttributes owner;
      owner.uid = owner.gid = 65534;
      volume->setattr(kRootIno, owner, {});
      const auto mount = FuseMount::mount(volume, at(mine.path()));
      if (mount_line(mine.path()).find("nosuid,nodev") == std::string::npos) return 1;
      {
        const OpenFile file(mine / "f", O_RDWR | O_CREAT);
        if (::write(file.get(), "x", 1) != 1) return 2;
        if (refusal_of([&] { mount->unmount(); }).code != EBUSY) return 3;
        if (!mount->flush_kernel()) return 4;
      }
      mount->unmount();
      return mount->alive() || !mount_line(mine.path()).empty() ? 5 : 0;
    }));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : 100, 0);
}

TEST(FuseMount, FusermountsRefusalIsKeptInItsOwnWords) {
  const DirectoryOfNobody mine;
  FuseMount::Options options = at(mine.path());
  options.mountpoint = mine.above().path();  // not nobody's: refused whatever /dev/fuse allows
  EXPECT_EQ(
      child_as_nobody([&] {
        const Refusal refused = refusal_of([&] { FuseMount::mount(new_volume(), options); });
        return refused.code != 0 && refused.sentence.find("fusermount3: ") != std::string::npos ? 0
                                                                                                : 1;
      }),
      0);
  EXPECT_EQ(mount_line(mine.above().path()), "");
}

}  // namespace
}  // namespace varve::test
