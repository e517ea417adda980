// SPDX-License-Identifier: Apache-2.0
//
// Several threads change one shared tree at random while others list it; then the tree must be
// consistent.
//
//   varve_namespace_stress [--threads N] [--ops N] [--seed S] [--keep] DIRECTORY
//   varve_namespace_stress --walk DIRECTORY
//
// --walk only checks the tree that --keep left and prints a digest of its names and inode numbers,
// which a remount, a crash of the daemon or a snapshot must not change.
//
// While it runs: no errno that the race does not explain, every file reads as one writer left it,
// and a listing of a directory that changes has each entry that does not change exactly once.
// Afterwards, by two walks that must agree: link counts equal the names found, d_ino equals st_ino,
// d_type equals the mode, no name appears twice.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr size_t kNamesPerDirectory = 12;
constexpr size_t kMaxDepth = 4;
constexpr size_t kStableEntries = 400;
constexpr size_t kWordsPerFile = 700;  // two pages: a torn file shows
constexpr unsigned kRenameNoReplace = 1;
constexpr unsigned kRenameExchange = 2;

struct Options {
  unsigned threads = 8;
  uint64_t ops = 5'000;
  uint64_t seed = 1;
  bool keep = false;
  bool walk = false;
  std::string directory;
};

[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "namespace_stress FAILED: %s\n", text);
  std::fflush(stderr);
  std::_Exit(1);
}

/// Ends the program unless `result` is a success or errno is one of `allowed`, the outcomes that a
/// race explains.
bool check(long result, std::initializer_list<int> allowed, const char* what,
           const std::string& path) {
  if (result >= 0) return true;
  const int error = errno;
  for (const int candidate : allowed) {
    if (error == candidate) return false;
  }
  fail("%s %s: %s", what, path.c_str(), strerror(error));
}

/// One entry as getdents64 gave it.
struct Entry {
  std::string name;
  uint64_t ino;
  unsigned char type;
};

/// Lists `path` with a buffer of `buffer_bytes`, so that a listing takes many calls; `between` runs
/// after each.
template <typename Between>
std::vector<Entry> list(const std::string& path, size_t buffer_bytes, Between between) {
  struct Header {
    uint64_t ino;
    int64_t offset;
    uint16_t length;
    unsigned char type;
    char name[1];
  };
  std::vector<Entry> entries;
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!check(descriptor, {ENOENT, ENOTDIR, ELOOP}, "opendir", path)) return entries;
  std::vector<char> buffer(buffer_bytes);
  for (;;) {
    const long got = syscall(SYS_getdents64, descriptor, buffer.data(), buffer.size());
    // ENOENT is what a removed directory may answer.
    if (!check(got, {ENOENT}, "getdents64", path) || got == 0) break;
    for (long at = 0; at < got;) {
      Header header;
      const char* record = buffer.data() + at;
      std::memcpy(&header, record, offsetof(Header, name));
      entries.push_back({record + offsetof(Header, name), header.ino, header.type});
      at += header.length;
    }
    between();
  }
  close(descriptor);
  return entries;
}

std::vector<Entry> list(const std::string& path) {
  return list(path, 32 << 10, [] {});
}

bool is_dot(const std::string& name) { return name == "." || name == ".."; }

/// Shared by all threads: operations that succeeded, so that a run that did nothing shows.
struct Counters {
  std::atomic<uint64_t> succeeded{0};
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> listings{0};
};

/// One thread's stream of random operations. Uses nothing shared but the filesystem and the
/// counters.
class Worker {
 public:
  Worker(const Options& options, unsigned index, Counters& counters)
      : options_(options),
        index_(index),
        counters_(counters),
        random_(options.seed * 1'000'003 + index) {}

  void run() {
    for (uint64_t i = 0; i < options_.ops; ++i) one_operation(i);
  }

 private:
  size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }

  /// A path up to kMaxDepth deep from few names, so that threads meet.
  std::string any_path() {
    std::string path = options_.directory + "/tree";
    const size_t depth = 1 + below(kMaxDepth);
    for (size_t level = 1; level < depth; ++level) path += "/d" + std::to_string(below(3));
    return path + "/" + (below(3) == 0 ? "d" : "n") + std::to_string(below(kNamesPerDirectory));
  }

  void count(bool succeeded) { ++(succeeded ? counters_.succeeded : counters_.refused); }

  void one_operation(uint64_t step) {
    switch (below(16)) {
      case 0:
      case 1:
      case 2:
        return create(step);
      case 3:
      case 4:
        return make_directory();
      case 5:
        return link_file();
      case 6:
        return make_symlink();
      case 7:
      case 8:
        return rename_any(0);
      case 9:
        return rename_any(kRenameNoReplace);
      case 10:
        return rename_any(kRenameExchange);
      case 11:
        return unlink_any();
      case 12:
        return remove_directory();
      case 13:
        return use_unlinked(step);
      case 14:
        return read_any();
      default:
        return list_any();
    }
  }

  /// One word, told apart by thread and step, repeated: a file with two different words is torn.
  std::vector<uint64_t> content(uint64_t step) const {
    return std::vector<uint64_t>(kWordsPerFile, (uint64_t{index_} << 48) | (step << 8) | 0x5a);
  }

  void create(uint64_t step) {
    const std::string path = any_path();
    const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (!check(descriptor, {ENOENT, EEXIST, ENOTDIR, ELOOP}, "create", path)) return count(false);
    const std::vector<uint64_t> words = content(step);
    const size_t bytes = words.size() * sizeof words[0];
    if (write(descriptor, words.data(), bytes) != static_cast<ssize_t>(bytes))
      fail("write %s: %s", path.c_str(), strerror(errno));
    if (below(50) == 0) check(fsync(descriptor), {}, "fsync", path);
    check(close(descriptor), {}, "close", path);
    count(true);
  }

  void make_directory() {
    const std::string path = any_path();
    count(check(mkdir(path.c_str(), 0755), {ENOENT, EEXIST, ENOTDIR, ELOOP}, "mkdir", path));
  }

  void link_file() {
    const std::string from = any_path();
    const std::string to = any_path();
    // EPERM: the source is a directory.
    count(check(link(from.c_str(), to.c_str()), {ENOENT, EEXIST, ENOTDIR, EPERM, ELOOP}, "link",
                from + " " + to));
  }

  void make_symlink() {
    const std::string path = any_path();
    const std::string target = "n" + std::to_string(below(kNamesPerDirectory));
    count(check(symlink(target.c_str(), path.c_str()), {ENOENT, EEXIST, ENOTDIR, ELOOP}, "symlink",
                path));
  }

  void rename_any(unsigned flags) {
    const std::string from = any_path();
    const std::string to = any_path();
    const long result = syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
    // EINVAL: into its own subtree.
    count(check(result, {ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL, ELOOP}, "rename",
                from + " " + to));
  }

  void unlink_any() {
    const std::string path = any_path();
    count(check(unlink(path.c_str()), {ENOENT, ENOTDIR, EISDIR, ELOOP}, "unlink", path));
  }

  void remove_directory() {
    const std::string path = any_path();
    count(check(rmdir(path.c_str()), {ENOENT, ENOTDIR, ENOTEMPTY, ELOOP}, "rmdir", path));
  }

  /// A file without a name works like any other until it is closed.
  void use_unlinked(uint64_t step) {
    const std::string path =
        options_.directory + "/tree/u" + std::to_string(index_) + "-" + std::to_string(step);
    const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(descriptor, {}, "create", path);
    check(unlink(path.c_str()), {}, "unlink", path);
    const std::vector<uint64_t> words = content(step);
    const size_t bytes = words.size() * sizeof words[0];
    if (pwrite(descriptor, words.data(), bytes, 0) != static_cast<ssize_t>(bytes))
      fail("write to unlinked %s", path.c_str());
    std::vector<uint64_t> back(words.size());
    if (pread(descriptor, back.data(), bytes, 0) != static_cast<ssize_t>(bytes) || back != words)
      fail("unlinked %s reads back wrong", path.c_str());
    struct stat status {};
    check(fstat(descriptor, &status), {}, "fstat", path);
    if (status.st_nlink != 0)
      fail("unlinked %s has %lu links", path.c_str(), static_cast<unsigned long>(status.st_nlink));
    check(close(descriptor), {}, "close", path);
    count(true);
  }

  void read_any() {
    const std::string path = any_path();
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (!check(descriptor, {ENOENT, ENOTDIR, ELOOP}, "open", path)) return count(false);
    std::array<uint64_t, kWordsPerFile> words{};
    const ssize_t got = read(descriptor, words.data(), sizeof words);
    if (check(got, {EISDIR}, "read", path)) {
      const size_t whole = static_cast<size_t>(got) / sizeof words[0];
      for (size_t i = 1; i < whole; ++i) {
        if (words[i] != words[0]) fail("%s holds bytes of two files", path.c_str());
      }
      if (whole > 0 && (words[0] & 0xff) != 0x5a)
        fail("%s holds bytes that nobody wrote", path.c_str());
    }
    close(descriptor);
    count(true);
  }

  void list_any() {
    std::string path = any_path();
    path.resize(path.rfind('/'));
    std::set<std::string> seen;
    for (const Entry& entry : list(path, 512 + below(4096), [] {})) seen.insert(entry.name);
    ++counters_.listings;
  }

  const Options& options_;
  const unsigned index_;
  Counters& counters_;
  std::mt19937_64 random_;
};

/// A directory of entries that stay among entries that come and go: a listing must have each stable
/// one exactly once.
class StableListing {
 public:
  explicit StableListing(const std::string& directory) : path_(directory + "/listing") {
    check(mkdir(path_.c_str(), 0755), {}, "mkdir", path_);
    for (size_t i = 0; i < kStableEntries; ++i) touch("stable-" + std::to_string(i));
  }

  /// Adds, renames and removes other entries until told to stop.
  void disturb(const std::atomic<bool>& stop) {
    for (uint64_t i = 0; !stop; ++i) {
      const std::string name = "passing-" + std::to_string(i % 300);
      touch(name);
      if (i % 3 == 0) {
        const std::string other = path_ + "/moved-" + std::to_string(i % 100);
        check(rename((path_ + "/" + name).c_str(), other.c_str()), {}, "rename", other);
      } else if (i % 3 == 1) {
        check(unlink((path_ + "/" + name).c_str()), {}, "unlink", name);
      }
    }
  }

  void watch(const std::atomic<bool>& stop, Counters& counters) const {
    while (!stop) {
      std::map<std::string, unsigned> seen;
      for (const Entry& entry : list(path_, 1024, [] {})) ++seen[entry.name];
      for (size_t i = 0; i < kStableEntries; ++i) {
        const std::string name = "stable-" + std::to_string(i);
        if (seen[name] != 1)
          fail("a listing of %s had %s %u times", path_.c_str(), name.c_str(), seen[name]);
      }
      ++counters.listings;
    }
  }

 private:
  void touch(const std::string& name) const {
    const std::string path = path_ + "/" + name;
    const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    check(descriptor, {}, "create", path);
    close(descriptor);
  }

  std::string path_;
};

/// What a walk of a quiet tree finds, and whether it hangs together.
class Walk {
 public:
  explicit Walk(const std::string& root) {
    struct stat status {};
    check(lstat(root.c_str(), &status), {}, "lstat", root);
    struct stat parent {};
    check(lstat((root + "/..").c_str(), &parent), {}, "lstat", root + "/..");
    directory(root, status, parent.st_ino);
    for (const auto& [ino, file] : files_) {
      if (file.names != file.links) {
        fail("%s: inode %lu has %lu names but says %lu links", file.path.c_str(), ino, file.names,
             file.links);
      }
    }
  }

  const std::map<std::string, uint64_t>& entries() const { return entries_; }

 private:
  struct File {
    std::string path;
    uint64_t links = 0;
    uint64_t names = 0;
  };

  void directory(const std::string& path, const struct stat& status, uint64_t parent) {
    std::set<std::string> seen;
    uint64_t children = 0;
    for (const Entry& entry : list(path)) {
      if (!seen.insert(entry.name).second)
        fail("%s lists %s twice", path.c_str(), entry.name.c_str());
      if (entry.name == "." && entry.ino != status.st_ino)
        fail("%s/. has inode %lu", path.c_str(), entry.ino);
      if (entry.name == ".." && entry.ino != parent)
        fail("%s/.. has inode %lu", path.c_str(), entry.ino);
      if (is_dot(entry.name)) continue;
      children += visit(path + "/" + entry.name, entry, status.st_ino);
    }
    if (seen.count(".") != 1 || seen.count("..") != 1) fail("%s lists no . or ..", path.c_str());
    // One link means "not counted", the habit of some filesystems.
    if (status.st_nlink != 1 && status.st_nlink != 2 + children) {
      fail("%s has %lu links and %lu directories", path.c_str(),
           static_cast<unsigned long>(status.st_nlink), children);
    }
  }

  /// Checks one entry; 1 if it is a directory.
  uint64_t visit(const std::string& path, const Entry& entry, uint64_t parent) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0)
      fail("%s is listed but lstat says %s", path.c_str(), strerror(errno));
    if (status.st_ino != entry.ino)
      fail("%s: d_ino %lu, st_ino %lu", path.c_str(), entry.ino,
           static_cast<unsigned long>(status.st_ino));
    if (entry.type != DT_UNKNOWN && entry.type != IFTODT(status.st_mode))
      fail("%s: d_type %u, mode %o", path.c_str(), entry.type, status.st_mode);
    entries_.emplace(path, status.st_ino);
    if (S_ISDIR(status.st_mode)) {
      if (!directories_.insert(status.st_ino).second)
        fail("%s: a directory with two names", path.c_str());
      directory(path, status, parent);
      return 1;
    }
    File& file = files_[status.st_ino];
    file.path = path;
    file.links = status.st_nlink;
    ++file.names;
    if (S_ISREG(status.st_mode)) verify(path);
    return 0;
  }

  void verify(const std::string& path) const {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    check(descriptor, {}, "open", path);
    std::array<uint64_t, kWordsPerFile + 1> words{};
    const ssize_t got = read(descriptor, words.data(), sizeof words);
    check(got, {}, "read", path);
    close(descriptor);
    if (got == 0) return;
    if (got != static_cast<ssize_t>(kWordsPerFile * sizeof words[0]))
      fail("%s has %zd bytes", path.c_str(), got);
    for (size_t i = 1; i < kWordsPerFile; ++i) {
      if (words[i] != words[0]) fail("%s holds bytes of two files", path.c_str());
    }
  }

  std::map<std::string, uint64_t> entries_;
  std::map<uint64_t, File> files_;
  std::set<uint64_t> directories_;
};

/// FNV-1a over each path below the first `prefix` bytes and its inode number.
void print_digest(const Walk& walk, size_t prefix) {
  uint64_t digest = 14695981039346656037ULL;
  const auto add = [&digest](uint8_t byte) { digest = (digest ^ byte) * 1099511628211ULL; };
  for (const auto& [path, ino] : walk.entries()) {
    for (const char character : path.substr(prefix)) add(static_cast<uint8_t>(character));
    for (int shift = 0; shift < 64; shift += 8) add(static_cast<uint8_t>(ino >> shift));
  }
  std::printf("%zu entries, digest %016lx\n", walk.entries().size(), digest);
}

void remove_tree(const std::string& path) {
  for (const Entry& entry : list(path)) {
    if (is_dot(entry.name)) continue;
    const std::string child = path + "/" + entry.name;
    if (unlink(child.c_str()) == 0) continue;
    if (errno != EISDIR && errno != EPERM) fail("unlink %s: %s", child.c_str(), strerror(errno));
    remove_tree(child);
  }
  check(rmdir(path.c_str()), {}, "rmdir", path);
}

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: varve_namespace_stress [--threads N] [--ops N] [--seed S] [--keep | --walk] "
               "DIRECTORY\n");
  std::exit(2);
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    if (name == "--keep") {
      options.keep = true;
    } else if (name == "--walk") {
      options.walk = true;
    } else if (name.substr(0, 2) != "--") {
      options.directory = name;
    } else if (++i == count) {
      usage();
    } else if (name == "--threads") {
      options.threads = static_cast<unsigned>(std::strtoul(arguments[i], nullptr, 0));
    } else if (name == "--ops") {
      options.ops = std::strtoull(arguments[i], nullptr, 0);
    } else if (name == "--seed") {
      options.seed = std::strtoull(arguments[i], nullptr, 0);
    } else {
      usage();
    }
  }
  if (options.directory.empty() || options.threads == 0) usage();
  options.directory += "/namespace-stress";
  return options;
}

/// Directories to begin with, so that deep paths exist from the first operation on.
void grow_tree(const std::string& path, size_t depth) {
  check(mkdir(path.c_str(), 0755), {}, "mkdir", path);
  if (depth + 1 == kMaxDepth) return;
  for (int i = 0; i < 3; ++i) grow_tree(path + "/d" + std::to_string(i), depth + 1);
}

void stress(const Options& options, Counters& counters) {
  StableListing listing(options.directory);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] { Worker(options, i, counters).run(); });
  }
  std::thread disturber([&] { listing.disturb(stop); });
  std::thread watcher([&] { listing.watch(stop, counters); });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  disturber.join();
  watcher.join();
}

}  // namespace

int main(int count, char** arguments) {
  const Options options = parse(count, arguments);
  if (options.walk) {
    print_digest(Walk(options.directory), options.directory.size());
    return 0;
  }
  std::printf("namespace_stress: seed %lu, %u threads, %lu operations each\n", options.seed,
              options.threads, options.ops);
  check(mkdir(options.directory.c_str(), 0755), {}, "mkdir", options.directory);
  grow_tree(options.directory + "/tree", 0);
  Counters counters;
  stress(options, counters);
  const Walk first(options.directory);
  const Walk second(options.directory);
  if (first.entries() != second.entries()) fail("two walks of the quiet tree differ");
  if (counters.succeeded * 20 < options.ops)
    fail("only %lu operations succeeded", counters.succeeded.load());
  if (!options.keep) remove_tree(options.directory);
  std::printf(
      "namespace_stress: %lu operations done, %lu refused as they should be, %lu listings, %zu "
      "entries at the end\n",
      counters.succeeded.load(), counters.refused.load(), counters.listings.load(),
      first.entries().size());
  return 0;
}
