// SPDX-License-Identifier: Apache-2.0
#include "store/store_directory.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <optional>
#include <set>
#include <string_view>

#include "store/base/bytes.h"
#include "store/base/error.h"
#include "store/base/log.h"
#include "store/base/own_directory.h"
#include "store/superblock.h"

namespace varve {

namespace {

constexpr std::string_view kMagicLine = "varve store";
constexpr std::size_t kFormatBytesMax = 4096;

/// Feature words of `incompat:` that this version understands.
const std::set<std::string_view>& known_features() {
  static const std::set<std::string_view> words;
  return words;
}

/// Takes the text before the next newline off `rest`; empty if there is no newline.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

/// What follows "key:" in `line`; empty if the line has another key.
std::optional<std::string_view> value_of(std::optional<std::string_view> line,
                                         std::string_view key) {
  if (!line || line->substr(0, key.size()) != key) return std::nullopt;
  std::string_view rest = line->substr(key.size());
  if (rest.empty() || rest.front() != ':') return std::nullopt;
  rest.remove_prefix(1);
  if (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  return rest;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string joined(const std::string& key, const std::vector<std::string>& words) {
  std::string out = key + ":";
  for (const std::string& word : words) out += " " + word;
  return out + "\n";
}

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<StoreId> id_of(std::string_view text) {
  StoreId id{};
  if (text.size() != id.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const int high = digit_of(text[2 * i]);
    const int low = digit_of(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id[i] = static_cast<std::byte>(high * 16 + low);
  }
  return id;
}

/// The sentence that promise 9 asks for: what is too new, and which release can.
[[noreturn]] void fail_newer(const std::string& path, const std::string& what,
                             const std::string& needs) {
  throw UserError(ENOTSUP, path + ": this store has " + what +
                               ", which this version of varve does not know; it needs " +
                               (needs.empty() ? "a later version of varve" : needs + " or later"));
}

[[noreturn]] void fail_damaged(const std::string& path) {
  throw CorruptionError(path +
                        " is damaged; write its six lines again (docs/format.md, section FORMAT; "
                        "the store id is in the superblock at byte 24)");
}

void check_features(const StoreFormat& format, const std::string& path) {
  for (const std::string& word : format.incompat) {
    if (!known_features().contains(word))
      fail_newer(path, "the feature '" + word + "'", format.needs);
  }
}

/// The process that wrote its number into the lock file, for the error text.
std::string holder_of(Disk& disk, const std::string& lock_path) {
  try {
    const Bytes bytes = disk.read_file(lock_path, 64);
    std::string_view text = as_text(bytes);
    const std::optional<std::string_view> line = take_line(text);
    if (line && number_of(*line)) return " by process " + std::string(*line);
  } catch (const Error&) {
    // The lock says that the store is in use; by whom is a courtesy.
  }
  return {};
}

std::unique_ptr<File> lock_or_fail(Disk& disk, const StorePaths& paths) {
  std::unique_ptr<File> lock = disk.try_lock(paths.lock());
  if (!lock) {
    throw UserError(EBUSY, paths.root() + ": the store is in use" + holder_of(disk, paths.lock()) +
                               "; stop its daemon, or talk to it instead");
  }
  try {
    lock->truncate(0);
    lock->write_at(0, as_bytes(std::to_string(::getpid()) + "\n"));
  } catch (const Error& error) {
    // Only the text of a refusal needs it, and a full disk must not keep a store closed.
    log_warn("store", error.what());
  }
  return lock;
}

/// Names that an interrupted create leaves behind.
bool is_remains(const std::string& name) {
  static const std::set<std::string_view> names = {
      "lock",     "superblock",   "superblock.new", "journal",    "segments",
      "index.db", "index.db-wal", "index.db-shm",   "FORMAT.new", "index.db-journal"};
  return names.contains(name);
}

/// A create that was interrupted has its first superblock or none; a store that was opened once has
/// a later one, and has lost its FORMAT: what is in it must not be taken for remains.
void expect_unused(Disk& disk, const StorePaths& paths) {
  if (!disk.exists(paths.superblock())) return;
  std::optional<std::uint64_t> sequence;
  try {
    sequence = last_superblock_sequence(disk, paths.superblock());
  } catch (const StoreError& error) {
    throw UserError(EEXIST, paths.root() +
                                " has no FORMAT file, and its superblock cannot be read (" +
                                error.what() + "); put FORMAT back, or empty the directory");
  }
  if (sequence.value_or(0) <= 1) return;
  throw UserError(EEXIST, paths.root() +
                              " holds a store that has lost its FORMAT file; write its six lines "
                              "again (docs/format.md, section FORMAT; the store id is in the "
                              "superblock at byte 24)");
}

void remove_files_in(Disk& disk, const std::string& directory) {
  if (!disk.exists(directory)) return;
  for (const std::string& name : disk.list(directory)) disk.remove(directory + "/" + name);
}

void clear_remains(Disk& disk, const StorePaths& paths) {
  remove_files_in(disk, paths.journal());
  remove_files_in(disk, paths.segments());
  for (const std::string& name : disk.list(paths.root())) {
    const bool kept = name == "lock" || name == "journal" || name == "segments";
    if (is_remains(name) && !kept) disk.remove(paths.root() + "/" + name);
  }
}

/// Nobody else has prepared, or can change, what a process with more rights would follow: a link
/// in the place of `journal` would lead the clearing of remains elsewhere.
void expect_own(const StorePaths& paths) {
  for (const std::string& directory : {paths.root(), paths.journal(), paths.segments()}) {
    expect_own_directory(directory);
  }
}

void sync_parent(Disk& disk, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  try {
    disk.sync_directory(parent);
  } catch (const StoreError& error) {
    if (error.code() != EACCES) throw;
    log_warn("store", error.what());  // not ours to read; the name becomes durable in its time
  }
}

}  // namespace

std::string StorePaths::journal_file_name(std::uint64_t index) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(index));
  return std::string(digits) + ".log";
}

std::string StoreFormat::encode() const {
  return std::string(kMagicLine) + "\nformat: " + std::to_string(version) + "\nneeds: " + needs +
         "\nid: " + to_hex(id) + "\n" + joined("incompat", incompat) + joined("compat", compat);
}

StoreFormat StoreFormat::decode(const std::string& text, const std::string& path) {
  std::string_view rest = text;
  if (take_line(rest) != kMagicLine) fail_damaged(path);
  const std::optional<std::string_view> version = value_of(take_line(rest), "format");
  const std::optional<std::uint32_t> number = version ? number_of(*version) : std::nullopt;
  if (!number || *number == 0) fail_damaged(path);
  const std::optional<std::string_view> needs = value_of(take_line(rest), "needs");
  if (*number > kVersion) {
    fail_newer(path, "format " + std::to_string(*number), std::string(needs.value_or("")));
  }
  StoreFormat out;
  out.version = *number;
  const std::optional<std::string_view> id = value_of(take_line(rest), "id");
  const std::optional<StoreId> id_bytes = id ? id_of(*id) : std::nullopt;
  const std::optional<std::string_view> incompat = value_of(take_line(rest), "incompat");
  const std::optional<std::string_view> compat = value_of(take_line(rest), "compat");
  if (!needs || !id_bytes || !incompat || !compat || !rest.empty()) fail_damaged(path);
  out.needs = std::string(*needs);
  out.id = *id_bytes;
  out.incompat = words_of(*incompat);
  out.compat = words_of(*compat);
  check_features(out, path);
  return out;
}

bool StoreDirectory::exists(const Disk& disk, const std::string& path) {
  return disk.exists(StorePaths(path).format());
}

StoreDirectory StoreDirectory::prepare(Disk& disk, const std::string& path) {
  const StorePaths paths(path);
  if (exists(disk, path)) {
    throw UserError(EEXIST, path + " holds a store already; open it, or choose another directory");
  }
  if (disk.exists(path)) {
    for (const std::string& name : disk.list(path)) {
      // ext4 makes the one in the root of each file system; a service manager listens at the other
      // before there is a store.
      if (is_remains(name) || name == "lost+found" || name == "control.sock") continue;
      throw UserError(ENOTEMPTY, path + " is not empty (it holds '" + name +
                                     "'); a store needs a directory of its own");
    }
  }
  disk.make_directory(path);
  expect_own(paths);
  std::unique_ptr<File> lock = lock_or_fail(disk, paths);
  if (exists(disk, path)) {  // another process has finished its create meanwhile
    throw UserError(EEXIST, path + " holds a store already");
  }
  expect_unused(disk, paths);
  clear_remains(disk, paths);
  disk.make_directory(paths.journal());
  return StoreDirectory(disk, paths, std::move(lock));
}

StoreDirectory StoreDirectory::open(Disk& disk, const std::string& path) {
  const StorePaths paths(path);
  if (!exists(disk, path)) {
    throw UserError(ENOENT, path +
                                " is not a store (it holds no FORMAT file); check the path, or "
                                "create a store there first");
  }
  expect_own(paths);
  StoreDirectory out(disk, paths, lock_or_fail(disk, paths));
  Bytes text;
  try {
    text = disk.read_file(paths.format(), kFormatBytesMax);
  } catch (const StoreError& error) {
    if (error.code() != EFBIG) throw;
    fail_damaged(paths.format());
  }
  out.format_ = StoreFormat::decode(std::string(as_text(text)), paths.format());
  return out;
}

void StoreDirectory::write_format(const StoreFormat& format) {
  disk_->sync_directory(paths_.root());
  sync_parent(*disk_, paths_.root());
  disk_->replace_file(paths_.format(), as_bytes(format.encode()));
  format_ = format;
}

StoreId random_store_id() {
  StoreId id{};
  for (;;) {
    const ssize_t count = ::getrandom(id.data(), id.size(), 0);
    if (count == static_cast<ssize_t>(id.size())) return id;
    if (count < 0 && errno != EINTR) throw_errno("getrandom");
  }
}

}  // namespace varve
