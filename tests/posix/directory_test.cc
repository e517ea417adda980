// SPDX-License-Identifier: Apache-2.0
//
// Listing directories: large ones, ones that change meanwhile, positions in them.

#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "tests/posix/posix_support.h"

namespace varve::posix {
namespace {

class Directory : public Posix {
 protected:
  void create_many(const std::string& prefix, int count) const {
    for (int i = 0; i < count; ++i) {
      const int descriptor = ::open(path(prefix + std::to_string(i)).c_str(),
                                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
      ASSERT_OK(descriptor) << prefix << i;
      ::close(descriptor);
    }
  }

  /// How often each name appears when `name` is listed with a small buffer; `between` runs after
  /// each getdents64.
  std::map<std::string, int> count_names(
      const std::string& name, size_t buffer_bytes,
      const std::function<void()>& between = [] {}) const {
    std::map<std::string, int> counts;
    const Fd stream(::open(path(name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::vector<char> buffer(buffer_bytes);
    for (;;) {
      const long got =
          syscall(SYS_getdents64, static_cast<int>(stream), buffer.data(), buffer.size());
      EXPECT_OK(got);
      if (got <= 0) return counts;
      for (long at = 0; at < got;) {
        const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
        ++counts[entry->d_name];
        at += entry->d_reclen;
      }
      between();
    }
  }
};

TEST_F(Directory, ListsDotAndDotDotAndRightTypes) {
  write_file("file", "");
  ASSERT_OK(mkdir(path("dir").c_str(), 0755));
  ASSERT_OK(symlink("x", path("link").c_str()));
  ASSERT_OK(mkfifo(path("fifo").c_str(), 0600));
  std::map<std::string, int> types;
  DIR* stream = opendir(directory().c_str());
  ASSERT_NE(stream, nullptr);
  while (const dirent* entry = readdir(stream)) {
    types[entry->d_name] = entry->d_type;
    EXPECT_EQ(entry->d_ino, status(entry->d_name).st_ino) << entry->d_name;
  }
  closedir(stream);
  const std::map<std::string, int> expected = {{".", DT_DIR},    {"..", DT_DIR},
                                               {"file", DT_REG}, {"dir", DT_DIR},
                                               {"link", DT_LNK}, {"fifo", DT_FIFO}};
  EXPECT_EQ(types, expected);
}

/// VARVE_POSIX_ENTRIES says how many; a hundred thousand unless set.
TEST_F(Directory, OfManyEntriesIsComplete) {
  const char* wanted = std::getenv("VARVE_POSIX_ENTRIES");
  const int entries = wanted == nullptr ? 100'000 : std::atoi(wanted);
  ASSERT_GT(entries, 0);
  create_many("e", entries);
  std::vector<std::string> names = names_in(".");
  EXPECT_EQ(names.size(), static_cast<size_t>(entries));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_OK(access(path("e" + std::to_string(entries - 1)).c_str(), F_OK));
  EXPECT_ERRNO(access(path("e" + std::to_string(entries)).c_str(), F_OK), ENOENT);
}

TEST_F(Directory, ThatChangesMeanwhileNeverSkipsNorRepeatsWhatStays) {
  constexpr int kStable = 10'000;
  create_many("stable", kStable);
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (int i = 0; !stop; ++i) {
      const std::string name = path("passing" + std::to_string(i % 2000));
      if (unlink(name.c_str()) != 0)
        ::close(::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    }
  });
  for (const size_t buffer_bytes : {size_t{600}, size_t{4096}, size_t{65536}}) {
    const std::map<std::string, int> counts = count_names(".", buffer_bytes);
    int wrong = 0;
    for (int i = 0; i < kStable; ++i) {
      const auto found = counts.find("stable" + std::to_string(i));
      wrong += found == counts.end() || found->second != 1 ? 1 : 0;
    }
    EXPECT_EQ(wrong, 0) << "stable entries skipped or repeated with a buffer of " << buffer_bytes;
  }
  stop = true;
  changer.join();
}

TEST_F(Directory, CanBeEmptiedWhileItIsListed) {
  constexpr int kEntries = 5'000;
  create_many("e", kEntries);
  DIR* stream = opendir(directory().c_str());
  ASSERT_NE(stream, nullptr);
  int removed = 0;
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    ASSERT_OK(unlinkat(dirfd(stream), entry->d_name, 0)) << entry->d_name;
    ++removed;
  }
  closedir(stream);
  EXPECT_EQ(removed, kEntries);
  EXPECT_TRUE(names_in(".").empty());
}

TEST_F(Directory, RenamedEntriesWhileListedKeepTheOthersOnce) {
  constexpr int kEntries = 2'000;
  create_many("stay", kEntries);
  create_many("move", 100);
  int next = 0;
  const auto counts = count_names(".", 2048, [&] {
    const std::string from = path("move" + std::to_string(next));
    const std::string to = path("gone" + std::to_string(next));
    if (next < 100) {
      EXPECT_OK(::rename(from.c_str(), to.c_str()));
    }
    ++next;
  });
  for (int i = 0; i < kEntries; ++i) {
    const auto found = counts.find("stay" + std::to_string(i));
    ASSERT_NE(found, counts.end()) << i;
    EXPECT_EQ(found->second, 1) << i;
  }
}

TEST_F(Directory, PositionsCanBeReturnedTo) {
  create_many("e", 500);
  DIR* stream = opendir(directory().c_str());
  ASSERT_NE(stream, nullptr);
  std::vector<std::pair<long, std::string>> seen;
  for (;;) {
    const long position = telldir(stream);
    const dirent* entry = readdir(stream);
    if (entry == nullptr) break;
    seen.emplace_back(position, entry->d_name);
  }
  ASSERT_EQ(seen.size(), 502u);
  for (size_t i = 0; i < seen.size(); i += 37) {
    const auto& [position, name] = seen[seen.size() - 1 - i];
    seekdir(stream, position);
    const dirent* entry = readdir(stream);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->d_name, name);
  }
  closedir(stream);
}

TEST_F(Directory, APositionSurvivesRemovalOfTheEntriesBefore) {
  create_many("e", 1000);
  DIR* stream = opendir(directory().c_str());
  ASSERT_NE(stream, nullptr);
  std::vector<std::string> before;
  for (int i = 0; i < 500; ++i) before.emplace_back(readdir(stream)->d_name);
  const long position = telldir(stream);
  std::set<std::string> after;
  while (const dirent* entry = readdir(stream)) after.insert(entry->d_name);
  for (const std::string& name : before) {
    if (name[0] != '.') {
      ASSERT_OK(unlink(path(name).c_str()));
    }
  }
  seekdir(stream, position);
  std::set<std::string> again;
  while (const dirent* entry = readdir(stream)) again.insert(entry->d_name);
  closedir(stream);
  EXPECT_EQ(again, after);
}

TEST_F(Directory, RewindingShowsWhatIsNew) {
  create_many("e", 10);
  DIR* stream = opendir(directory().c_str());
  ASSERT_NE(stream, nullptr);
  while (readdir(stream) != nullptr) {
  }
  write_file("new", "");
  rewinddir(stream);
  std::set<std::string> names;
  while (const dirent* entry = readdir(stream)) names.insert(entry->d_name);
  closedir(stream);
  EXPECT_EQ(names.size(), 13u);
  EXPECT_EQ(names.count("new"), 1u);
}

TEST_F(Directory, TwoStreamsDoNotDisturbEachOther) {
  create_many("e", 3000);
  DIR* one = opendir(directory().c_str());
  DIR* two = opendir(directory().c_str());
  ASSERT_NE(one, nullptr);
  ASSERT_NE(two, nullptr);
  size_t first = 0;
  size_t second = 0;
  while (readdir(one) != nullptr) {
    ++first;
    if (readdir(two) != nullptr) ++second;
  }
  while (readdir(two) != nullptr) ++second;
  closedir(one);
  closedir(two);
  EXPECT_EQ(first, 3002u);
  EXPECT_EQ(second, 3002u);
}

}  // namespace
}  // namespace varve::posix
