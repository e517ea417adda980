// SPDX-License-Identifier: Apache-2.0
//
// What the POSIX tests share. They run on any filesystem: the directory comes from VARVE_TEST_DIR.
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

/// The call must fail, and with this errno.
#define EXPECT_ERRNO(call, expected)                                                   \
  do {                                                                                 \
    errno = 0;                                                                         \
    const auto posix_result_ = (call);                                                 \
    const int posix_errno_ = errno;                                                    \
    EXPECT_LT(posix_result_, 0) << #call << " succeeded";                              \
    EXPECT_EQ(posix_errno_, expected) << #call << ": " << std::strerror(posix_errno_); \
  } while (false)

/// The call must succeed; the message names errno.
#define ASSERT_OK(call) ASSERT_GE(call, 0) << #call << ": " << std::strerror(errno)
#define EXPECT_OK(call) EXPECT_GE(call, 0) << #call << ": " << std::strerror(errno)

namespace varve::posix {

constexpr uid_t kNobody = 65534;
constexpr gid_t kNogroup = 65534;
constexpr uid_t kSomeone = 12345;

/// Owns one file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int descriptor) : descriptor_(descriptor) {}
  Fd(Fd&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }

  operator int() const {
    return descriptor_;
  }  // NOLINT(google-explicit-constructor): it goes into every call
  void reset() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

 private:
  int descriptor_ = -1;
};

/// Bytes that differ at every offset and for every seed.
inline std::string pattern(size_t size, uint64_t seed = 1) {
  std::string bytes(size, '\0');
  uint64_t word = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (char& byte : bytes) {
    word = word * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<char>(word >> 56);
  }
  return bytes;
}

/// A fresh directory on the filesystem under test, removed afterwards.
class Posix : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* root = std::getenv("VARVE_TEST_DIR");
    ASSERT_NE(root, nullptr) << "VARVE_TEST_DIR names no directory to test";
    ASSERT_EQ(geteuid(), 0u) << "these tests change owners: run them as root";
    umask(022);
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = std::string(root) + "/" + test->test_suite_name() + "." + test->name();
    std::filesystem::remove_all(directory_);
    ASSERT_OK(mkdir(directory_.c_str(), 0755));
  }

  void TearDown() override {
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }

  const std::string& directory() const { return directory_; }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  /// True on a FUSE mount: some of our promises go further than ext4's.
  bool on_fuse() const {
    struct statfs status {};
    return statfs(directory_.c_str(), &status) == 0 && status.f_type == 0x65735546;
  }

  Fd open_file(const std::string& name, int flags, mode_t mode = 0644) const {
    return Fd(::open(path(name).c_str(), flags | O_CLOEXEC, mode));
  }

  void write_file(const std::string& name, const std::string& bytes, mode_t mode = 0644) const {
    const Fd file = open_file(name, O_WRONLY | O_CREAT | O_TRUNC, mode);
    ASSERT_OK(file);
    ASSERT_EQ(write_all(file, bytes), bytes.size());
  }

  static size_t write_all(int descriptor, const std::string& bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t put = ::write(descriptor, bytes.data() + done, bytes.size() - done);
      if (put <= 0) break;
      done += static_cast<size_t>(put);
    }
    return done;
  }

  std::string read_file(const std::string& name) const {
    const Fd file = open_file(name, O_RDONLY);
    EXPECT_OK(file) << name;
    std::string bytes;
    char buffer[65536];
    for (;;) {
      const ssize_t got = ::read(file, buffer, sizeof buffer);
      EXPECT_OK(got) << name;
      if (got <= 0) return bytes;
      bytes.append(buffer, static_cast<size_t>(got));
    }
  }

  static std::string read_at(int descriptor, size_t size, off_t offset) {
    std::string bytes(size, '\xff');
    const ssize_t got = ::pread(descriptor, bytes.data(), size, offset);
    EXPECT_OK(got);
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return bytes;
  }

  struct stat status(const std::string& name) const {
    struct stat result {};
    EXPECT_OK(lstat(path(name).c_str(), &result)) << name;
    return result;
  }

  mode_t mode_of(const std::string& name) const { return status(name).st_mode & 07777; }

  /// Names in `name`, without . and .., in the order of readdir.
  std::vector<std::string> names_in(const std::string& name) const {
    std::vector<std::string> names;
    DIR* stream = opendir(path(name).c_str());
    EXPECT_NE(stream, nullptr) << name;
    if (stream == nullptr) return names;
    while (const dirent* entry = readdir(stream)) {
      const std::string found = entry->d_name;
      if (found != "." && found != "..") names.push_back(found);
    }
    closedir(stream);
    return names;
  }

  /// Runs `body` in a child with these ids and no other groups; returns what it returns: 0 or an
  /// errno.
  static int as_user(uid_t uid, gid_t gid, const std::function<int()>& body,
                     const std::vector<gid_t>& groups = {}) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgroups(groups.size(), groups.data()) != 0 || setresgid(gid, gid, gid) != 0 ||
          setresuid(uid, uid, uid) != 0) {
        _exit(255);
      }
      _exit(body() & 0xff);
    }
    return wait_for(child);
  }

  /// Runs `body` in a child as the same user.
  static int in_child(const std::function<int()>& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body() & 0xff);
    return wait_for(child);
  }

  /// 0 if `result` is a success, errno otherwise: what the bodies above return.
  static int outcome(long result) { return result >= 0 ? 0 : errno; }

 private:
  static int wait_for(pid_t child) {
    int state = 0;
    EXPECT_EQ(waitpid(child, &state, 0), child);
    EXPECT_TRUE(WIFEXITED(state)) << "the child was killed";
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
  }

  std::string directory_;
};

}  // namespace varve::posix
