// SPDX-License-Identifier: Apache-2.0
//
// flock, POSIX and open-file-description locks between processes.

#include <sys/file.h>

#include "tests/posix/posix_support.h"

namespace varve::posix {
namespace {

class Lock : public Posix {
 protected:
  void SetUp() override {
    Posix::SetUp();
    write_file("file", std::string(100, 'x'));
  }

  static int range_lock(int descriptor, int command, short type, off_t start, off_t length) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = length;
    return fcntl(descriptor, command, &lock);
  }

  /// What another process gets when it tries to lock this range without waiting.
  int other_process(int command, short type, off_t start, off_t length) const {
    return in_child([&] {
      return outcome(range_lock(open_file("file", O_RDWR), command, type, start, length));
    });
  }

  int other_process_flock(int operation) const {
    return in_child([&] { return outcome(flock(open_file("file", O_RDWR), operation | LOCK_NB)); });
  }
};

TEST_F(Lock, FlockExcludesOtherProcesses) {
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(flock(file, LOCK_SH));
  EXPECT_EQ(other_process_flock(LOCK_SH), 0);
  EXPECT_EQ(other_process_flock(LOCK_EX), EWOULDBLOCK);
  ASSERT_OK(flock(file, LOCK_EX));
  EXPECT_EQ(other_process_flock(LOCK_SH), EWOULDBLOCK);
  ASSERT_OK(flock(file, LOCK_UN));
  EXPECT_EQ(other_process_flock(LOCK_EX), 0);
}

TEST_F(Lock, FlockBelongsToTheOpenFile) {
  const Fd one = open_file("file", O_RDWR);
  const Fd two = open_file("file", O_RDWR);
  ASSERT_OK(flock(one, LOCK_EX));
  EXPECT_ERRNO(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  EXPECT_OK(flock(Fd(dup(one)), LOCK_EX | LOCK_NB));
}

TEST_F(Lock, FlockEndsWithItsProcess) {
  EXPECT_EQ(in_child([&] { return outcome(flock(::open(path("file").c_str(), O_RDWR), LOCK_EX)); }),
            0);
  EXPECT_EQ(other_process_flock(LOCK_EX), 0);
}

TEST_F(Lock, PosixLocksCoverRanges) {
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(range_lock(file, F_SETLK, F_WRLCK, 10, 20));
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 0, 10), 0);
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 29, 1), EAGAIN);
  EXPECT_EQ(other_process(F_SETLK, F_RDLCK, 0, 0), EAGAIN);
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 30, 0), 0);
  ASSERT_OK(range_lock(file, F_SETLK, F_UNLCK, 15, 5));
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 15, 5), 0);
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 14, 1), EAGAIN);
}

TEST_F(Lock, PosixLocksNameTheirHolder) {
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(range_lock(file, F_SETLK, F_WRLCK, 10, 20));
  const pid_t holder = getpid();
  EXPECT_EQ(in_child([&] {
              struct flock lock {};
              lock.l_type = F_WRLCK;
              lock.l_whence = SEEK_SET;
              const Fd other = open_file("file", O_RDWR);
              if (fcntl(other, F_GETLK, &lock) != 0) return errno;
              return lock.l_type == F_WRLCK && lock.l_start == 10 && lock.l_len == 20 &&
                             lock.l_pid == holder
                         ? 0
                         : 250;
            }),
            0);
}

TEST_F(Lock, PosixLocksEndWhenAnyDescriptorCloses) {
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(range_lock(file, F_SETLK, F_WRLCK, 0, 0));
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 0, 1), EAGAIN);
  open_file("file", O_RDONLY).reset();
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 0, 1), 0);
}

TEST_F(Lock, OpenFileDescriptionLocksOutliveOtherDescriptors) {
  const Fd one = open_file("file", O_RDWR);
  const Fd two = open_file("file", O_RDWR);
  ASSERT_OK(range_lock(one, F_OFD_SETLK, F_WRLCK, 0, 50));
  EXPECT_ERRNO(range_lock(two, F_OFD_SETLK, F_WRLCK, 40, 20), EAGAIN);
  ASSERT_OK(range_lock(two, F_OFD_SETLK, F_WRLCK, 50, 20));
  open_file("file", O_RDONLY).reset();
  EXPECT_EQ(other_process(F_SETLK, F_WRLCK, 0, 1), EAGAIN);
}

TEST_F(Lock, AWaiterGetsTheLockWhenItIsReleased) {
  const Fd file = open_file("file", O_RDWR);
  ASSERT_OK(range_lock(file, F_SETLK, F_WRLCK, 0, 0));
  int ready[2];
  ASSERT_OK(pipe(ready));
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    const Fd other = open_file("file", O_RDWR);
    if (write(ready[1], "r", 1) != 1) _exit(1);
    if (range_lock(other, F_SETLKW, F_WRLCK, 0, 0) != 0) _exit(2);
    _exit(pwrite(other, "locked", 6, 0) == 6 ? 0 : 3);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(read_at(file, 6, 0), "xxxxxx");
  ASSERT_OK(range_lock(file, F_SETLK, F_UNLCK, 0, 0));
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_EQ(state, 0);
  EXPECT_EQ(read_at(file, 6, 0), "locked");
  close(ready[0]);
  close(ready[1]);
}

TEST_F(Lock, ALockNeedsTheRightToReadOrWrite) {
  EXPECT_ERRNO(range_lock(open_file("file", O_RDONLY), F_SETLK, F_WRLCK, 0, 0), EBADF);
  EXPECT_ERRNO(range_lock(open_file("file", O_WRONLY), F_SETLK, F_RDLCK, 0, 0), EBADF);
  const Fd directory_fd(open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_OK(flock(directory_fd, LOCK_EX | LOCK_NB));
}

}  // namespace
}  // namespace varve::posix
