// SPDX-License-Identifier: Apache-2.0
#include "tests/format/golden_store.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>

#include "store/base/error.h"
#include "store/digest.h"
#include "tests/support/repository_world.h"

extern char** environ;

namespace varve::test {
namespace {

constexpr Caller kRoot{};
constexpr Caller kUser{1000, 100, 0};

void set_mode_and_times(Volume& volume, Ino ino, std::uint32_t mode) {
  SetAttributes wanted;
  wanted.mode = mode;
  wanted.mtime = Time{1'600'000'000, 123'456'789};
  wanted.atime = Time{-1, 999'999'999};
  volume.setattr(ino, wanted, kRoot);
}

/// Every kind of inode, name and record, committed.
void fill_base(Volume& volume) {
  const Ino dir = volume.make_directory(kRootIno, "dir", 02775, kUser).ino;
  const Ino small = volume.make_node(dir, "small", S_IFREG | 0640, 0, kUser).ino;
  volume.write(small, 0, as_bytes("inline content\n"), false);
  set_mode_and_times(volume, small, 0604);
  volume.link(small, kRootIno, "hard link");
  volume.set_xattr(small, "user.note", as_bytes("a value"), XattrMode::kAny, false);
  volume.set_xattr(small, "user.long", pattern(5000, 7), XattrMode::kAny, false);
  volume.make_symlink(kRootIno, "symlink", "dir/small", kRoot);
  volume.make_symlink(kRootIno, "long symlink", std::string(2000, 's'), kRoot);
  volume.make_node(kRootIno, "fifo", S_IFIFO | 0600, 0, kRoot);
  volume.make_node(kRootIno, "device", S_IFCHR | 0600, 0x103, kRoot);
  volume.make_node(kRootIno, "caf\xc3\xa9 \xff", S_IFREG | 0644, 0, kRoot);
  volume.make_node(kRootIno, std::string(255, 'n'), S_IFREG | 0, 0, kRoot);
  write_file(volume, "text", Bytes(200'000, std::byte{'t'}));
  write_file(volume, "noise", pattern(40'000, 1));
  write_file(volume, "sparse", as_bytes("at the end"), 10'000'000'000);
  write_file(volume, "overridden", Bytes(131'072, std::byte{'o'}));
  const Ino many = volume.make_directory(kRootIno, "many", 0755, kRoot).ino;
  for (int i = 0; i < 400; ++i) {
    volume.make_node(many, "file " + std::to_string(i), S_IFREG | 0600, 0, kRoot);
  }
}

/// Changes over a commit: overrides of blocks, holes, renames, removals.
void change_base(Volume& volume) {
  write_file(volume, "overridden", pattern(16'384, 2), 32'768);
  write_file(volume, "text", as_bytes("changed"), 100);
  const Ino text = volume.lookup(kRootIno, "text")->ino;
  volume.allocate(text, AllocateMode::kPunchHole, 131'072, 32'768);
  volume.forget(text, 1);
  volume.rename(kRootIno, "noise", kRootIno, "renamed", RenameMode::kReplace);
  volume.unlink(kRootIno, "fifo");
}

std::string text_of(const std::string& raw) {
  std::string out;
  char code[8];
  for (const char c : raw) {
    const bool plain = c > ' ' && c < 127 && c != '\\';
    std::snprintf(code, sizeof code, "\\%03o", static_cast<unsigned char>(c));
    out += plain ? std::string(1, c) : code;
  }
  return out;
}

std::string time_text(const Time& time) {
  return std::to_string(time.seconds) + "." + std::to_string(time.nanoseconds);
}

/// Content of any size: only what is data is read.
std::string content_of(Volume& volume, const Attributes& attributes) {
  std::ostringstream out;
  std::uint64_t at = 0;
  while (at < attributes.size) {
    std::uint64_t begin = 0;
    try {
      begin = volume.seek(attributes.ino, at, SeekWhat::kData);
    } catch (const PosixError&) {
      break;  // the rest is a hole
    }
    const std::uint64_t end = volume.seek(attributes.ino, begin, SeekWhat::kHole);
    Bytes bytes(end - begin);
    VARVE_CHECK(volume.read(attributes.ino, begin, bytes) == bytes.size());
    out << " " << begin << "+" << bytes.size() << ":" << digest_of(bytes).hex().substr(0, 16);
    at = end;
  }
  return out.str();
}

void describe(Volume& volume, const std::string& path, const Attributes& about,
              std::ostringstream& out) {
  out << "  " << text_of(path) << " ino=" << to_integer(about.ino) << " mode=" << std::oct
      << about.mode << std::dec << " nlink=" << about.nlink << " uid=" << about.uid
      << " gid=" << about.gid << " size=" << about.size << " blocks=" << about.blocks
      << " rdev=" << about.rdev << " mtime=" << time_text(about.mtime)
      << " ctime=" << time_text(about.ctime);
  if (S_ISREG(about.mode)) out << content_of(volume, about);
  if (S_ISLNK(about.mode))
    out << " -> " << digest_of(as_bytes(volume.readlink(about.ino))).hex().substr(0, 16);
  std::vector<std::string> names = volume.list_xattrs(about.ino);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    out << " " << name << "="
        << digest_of(volume.get_xattr(about.ino, name).value()).hex().substr(0, 16);
  }
  out << "\n";
}

void walk(Volume& volume, Ino directory, const std::string& path, std::ostringstream& out) {
  std::map<std::string, Attributes> entries;
  volume.read_directory(directory, 0, true, [&](const DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..")
      entries.emplace(std::string(entry.name), *entry.attributes);
    return true;
  });
  for (const auto& [name, about] : entries) {
    const std::string full = path + "/" + name;
    describe(volume, full, about, out);
    if (S_ISDIR(about.mode)) walk(volume, about.ino, full, out);
    volume.forget(about.ino, 1);
  }
}

void describe_whole(Volume& volume, std::ostringstream& out) {
  describe(volume, "/", volume.getattr(kRootIno), out);
  walk(volume, kRootIno, "", out);
}

void describe_labels(const std::map<std::string, std::string>& labels, std::ostringstream& out) {
  for (const auto& [key, value] : labels) out << " " << text_of(key) << "=" << text_of(value);
  out << "\n";
}

}  // namespace

RepositoryOptions golden_options() {
  RepositoryOptions options;
  options.store.journal_file_bytes = 256 << 10;
  options.store.reserve_bytes = 0;
  options.background = false;
  options.commit_interval_ms = 0;
  options.clock = [] { return Time{1'700'000'000, 42}; };
  return options;
}

std::shared_ptr<Volume> fill_golden(Repository& repository) {
  Repository::CreateVolume request;
  request.name = "base";
  request.quota_bytes = 20'000'000'000;
  request.labels = {{"team", "web"}, {"empty", ""}};
  repository.create_volume(request);
  {
    const std::shared_ptr<Volume> volume = repository.attach("base");
    fill_base(*volume);
    repository.create_snapshot("base", "first", {{"why", "before the change"}});
    repository.commit();
    change_base(*volume);
    repository.create_snapshot("base", "second", {});
    repository.create_snapshot("base", "removed", {});
    repository.remove_snapshot("base@removed");
  }
  repository.set_protect("base", true);
  Repository::CreateVolume clone;
  clone.name = "clone";
  repository.clone_volume(clone, "base@first");
  write_file(*repository.attach("clone"), "only here", as_bytes("in the clone"));
  clone.name = "trashed";
  repository.clone_volume(clone, "base@second");
  repository.remove_volume("trashed");
  repository.commit();
  std::shared_ptr<Volume> volume = repository.attach("base");
  write_file(*volume, "late", pattern(30'000, 3));
  volume->rename(kRootIno, "renamed", kRootIno, "renamed again", RenameMode::kReplace);
  repository.create_snapshot("base", "late-cut", {{"k", "v"}});
  volume->unlink(kRootIno, "late");
  volume->fsync(kRootIno);
  return volume;
}

std::string manifest_of(Repository& repository) {
  std::ostringstream out;
  for (const VolumeInfo& info : repository.volumes()) {
    out << "volume " << info.row.name << " quota=" << info.quota_bytes
        << " logical=" << info.logical_bytes << " inodes=" << info.inodes
        << " source=" << info.row.source << " protect=" << info.row.protect;
    describe_labels(info.row.labels, out);
    describe_whole(*repository.attach(info.row.name), out);
    for (const SnapshotRow& row : repository.snapshots(info.row.name)) {
      out << "snapshot " << info.row.name << "@" << row.name << " logical=" << row.logical_bytes;
      describe_labels(row.labels, out);
      describe_whole(*repository.attach_snapshot(info.row.name + "@" + row.name), out);
    }
  }
  for (const VolumeInfo& info : repository.trash()) out << "trash " << info.row.name << "\n";
  return out.str();
}

UnpackedGolden::UnpackedGolden(const std::string& name) {
  const std::string archive = std::string(VARVE_SOURCE_DIR) + "/tests/format/" + name + ".tar.gz";
  const ProgramResult tar =
      run_program({"tar", "--no-same-owner", "-xzf", archive, "-C", directory_.path()});
  if (tar.status != 0) throw StoreError(EIO, "tar: " + tar.output);
}

ProgramResult run_program(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"timeout", "60"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ProgramResult result;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  char buffer[4096];
  for (ssize_t got = 0; error == 0 && (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    result.output.append(buffer, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  if (error == 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status))
    result.status = WEXITSTATUS(status);
  return result;
}

}  // namespace varve::test
