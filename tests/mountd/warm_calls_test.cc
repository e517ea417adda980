// SPDX-License-Identifier: Apache-2.0
// What programs that only look cost when the kernel has seen everything: nothing. Needs root and
// /dev/fuse.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/mounted_volume.h"

namespace varve::test {
namespace {

using Asked = std::map<std::string, std::uint64_t>;

std::string words_of(const Asked& requests) {
  std::string out;
  for (const auto& [type, count] : requests) out += type + " " + std::to_string(count) + ", ";
  return out;
}

bool succeeds(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

/// Three directories of 40 files with some text.
void fill(const MountedVolume& mounted) {
  for (int d = 0; d < 3; ++d) {
    const std::string directory = mounted / ("d" + std::to_string(d));
    ASSERT_EQ(::mkdir(directory.c_str(), 0755), 0);
    for (int f = 0; f < 40; ++f)
      ASSERT_TRUE(
          write_file(directory + "/f" + std::to_string(f), std::string(3000, 'x') + "\nneedle\n"));
  }
}

/// The requests of one run of `command` after three that warm the kernel up: the first fills its
/// caches and makes access times stale, the second asks for those and drops ACLs, the third asks
/// for these.
Asked of_warm_run(const MountedVolume& mounted, const std::string& command) {
  for (int pass = 0; pass < 3; ++pass) EXPECT_TRUE(succeeds(command)) << command;
  const Asked before = mounted.requests();
  EXPECT_TRUE(succeeds(command)) << command;
  return mounted.since(before);
}

/// A command, and the requests that no answer of ours saves.
struct Look {
  std::string command;
  Asked needed;
};

bool asks_no_more(const Asked& asked, const Asked& needed) {
  return std::all_of(asked.begin(), asked.end(), [&](const auto& request) {
    const auto found = needed.find(request.first);
    return found != needed.end() && request.second <= found->second;
  });
}

TEST(WarmCalls, ToolsThatLookAskNothing) {
  const MountedVolume mounted;
  fill(mounted);
  // The kernel keeps neither of these answers. Programs that walk with fts(3) ask once for the kind
  // of file system. ls asks once for an SELinux label and for the ACLs of each file; those of the
  // root, two, are not kept either: its inode is older than our answer that we know ACLs.
  const Asked statfs = {{"statfs", 1}}, attributes = {{"getxattr", 3}};
  for (const auto& [command, needed] :
       {Look{"ls -lR " + mounted.path(), attributes}, Look{"stat " + mounted / "d1/f7", {}},
        Look{"grep -r needle " + mounted.path(), statfs},
        Look{"find " + mounted.path() + " -size +1k", statfs},
        Look{"cat " + mounted / "d0/f3", {}}}) {
    const Asked asked = of_warm_run(mounted, command);
    EXPECT_TRUE(asks_no_more(asked, needed)) << command << ": " << words_of(asked);
  }
}

TEST(WarmCalls, GitStatusAsksNothing) {
  ASSERT_TRUE(succeeds("git --version")) << "git is not installed";
  const MountedVolume mounted;
  fill(mounted);
  const std::string git = "git -C " + mounted.path() + " -c user.name=n -c user.email=e@x ";
  ::setenv("HOME", mounted.path().c_str(), 1);
  ASSERT_TRUE(succeeds(git + "init && " + git + "add . && " + git + "commit -m first"));
  // Otherwise it makes and removes .git/index.lock each time, whatever it finds.
  const Asked asked = of_warm_run(mounted, "GIT_OPTIONAL_LOCKS=0 " + git + "status");
  EXPECT_TRUE(asked.empty()) << words_of(asked);
}

/// Linux 6.18 needs five. LOOKUP finds that the name is free, MKNOD makes the file, WRITE fills it.
/// Each change of a directory makes all that the kernel knows about it stale, its mode included,
/// and the mode is needed for the next look into it: GETATTR. The first write to an inode looks for
/// security.capability, which may have to go, and nothing but an answer of ours tells the kernel
/// that there is none: GETXATTR.
TEST(WarmCalls, CreateWriteCloseNeedsWhatTheKernelAsksAndNoMore) {
  const MountedVolume mounted;
  ASSERT_TRUE(write_file(mounted / "first", "x"));  // CREATE, OPEN and FLUSH are refused once
  constexpr std::uint64_t kFiles = 50;
  const Asked before = mounted.requests();
  for (std::uint64_t i = 0; i < kFiles; ++i)
    ASSERT_TRUE(write_file(mounted / ("f" + std::to_string(i)), std::string(4096, 'x')));
  Asked asked = mounted.since(before);
  for (const char* type : {"lookup", "mknod", "write"}) {
    EXPECT_EQ(asked[type], kFiles) << type;
    asked.erase(type);
  }
  for (const char* type : {"getattr", "getxattr"}) {
    EXPECT_LE(asked[type], kFiles) << type;
    asked.erase(type);
  }
  EXPECT_TRUE(asked.empty()) << words_of(asked);
}

TEST(WarmCalls, CreateWriteCloseWithoutXattrsSavesOne) {
  FuseMount::Options options;
  options.noxattr = true;
  const MountedVolume mounted(options);
  ASSERT_TRUE(write_file(mounted / "first", "x"));
  const Asked before = mounted.requests();
  ASSERT_TRUE(write_file(mounted / "second", std::string(4096, 'x')));
  const Asked asked = mounted.since(before);
  EXPECT_EQ(asked.count("getxattr"), 0u) << words_of(asked);
}

}  // namespace
}  // namespace varve::test
