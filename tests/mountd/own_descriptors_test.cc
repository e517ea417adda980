// SPDX-License-Identifier: Apache-2.0
// Needs root and /dev/fuse.
#include "mountd/own_descriptors.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "mountd/unix_socket.h"
#include "tests/support/mounted_volume.h"

namespace varve::test {
namespace {

TEST(OwnDescriptors, HoldOnlyTheStandardThreeAndLeaveOursOpen) {
  const OpenFile file("/proc/self/exe", O_RDONLY);
  ASSERT_TRUE(file.valid());
  bool standard = false, other = true;
  run_with_own_descriptors([&] {
    standard = ::fcntl(STDERR_FILENO, F_GETFD) >= 0;
    other = ::fcntl(file.get(), F_GETFD) >= 0;
  });
  EXPECT_TRUE(standard);
  EXPECT_FALSE(other);
  EXPECT_GE(::fcntl(file.get(), F_GETFD), 0);
}

TEST(OwnDescriptors, ThrowWhatTheWorkThrows) {
  EXPECT_THROW(run_with_own_descriptors([] { throw std::runtime_error("x"); }), std::runtime_error);
}

/// A process that serves a mount and flushes it into a closed gate: what a daemon is in the first
/// step of a snapshot when it is killed.
[[noreturn]] void serve_and_flush(int socket) {
  MountedVolume mounted;
  const std::string path = mounted.path();
  char go = 0;
  if (::send(socket, path.data(), path.size(), 0) < 0 || ::recv(socket, &go, 1, 0) != 1)
    std::_Exit(1);
  mounted.volume->write_gate.close();
  std::thread watcher([&] {
    mounted.volume->write_gate.wait_for(1);
    static_cast<void>(::send(socket, "held", 4, 0));
  });
  mounted.mount->flush_kernel();
  std::_Exit(2);  // not reached: the gate stays closed
}

bool ends_within(pid_t pid, int timeout_ms) {
  const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd entry{process.get(), POLLIN, 0};
  return process && ::poll(&entry, 1, timeout_ms) == 1;
}

TEST(OwnDescriptors, AServerKilledWhileItFlushesItsOwnMountEnds) {
  TempDirectory directory;
  ::chmod(directory.path().c_str(), 0755);
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  Descriptor ours(ends[0]), theirs(ends[1]);
  ::setenv("TMPDIR", directory.path().c_str(), 1);
  const pid_t server = ::fork();
  ASSERT_GE(server, 0);
  if (server == 0) {
    ours.reset();
    serve_and_flush(theirs.get());
  }
  ::unsetenv("TMPDIR");
  theirs.reset();
  char text[512] = {};
  ASSERT_GT(::recv(ours.get(), text, sizeof text - 1, 0), 0);
  const std::string mount_point = text;
  {
    const OpenFile file(mount_point + "/mapped", O_RDWR | O_CREAT);
    ASSERT_EQ(::ftruncate(file.get(), 4096), 0);
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    ASSERT_NE(page, MAP_FAILED);
    *static_cast<volatile char*>(page) = 'x';
    ASSERT_EQ(::send(ours.get(), "g", 1, 0), 1);
    ASSERT_EQ(::recv(ours.get(), text, sizeof text, 0), 4);  // syncfs waits for a WRITE
    ASSERT_EQ(::kill(server, SIGKILL), 0);
    EXPECT_TRUE(ends_within(server, 10'000));
    ::munmap(page, 4096);
  }
  ::umount2(mount_point.c_str(), MNT_DETACH | MNT_FORCE);
  ::waitpid(server, nullptr, 0);
}

}  // namespace
}  // namespace varve::test
