// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/volume_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <utility>
#include <vector>

#include "store/base/error.h"
#include "tests/model/volume_workload.h"
#include "tests/support/memory_volume.h"

namespace varve::test {

namespace {

constexpr std::uint64_t kPage = SparseBytes::kPageBytes;
/// A range that is said to hold data and is longer holds zeros behind this.
constexpr std::uint64_t kLongestRange = 16 << 20;

std::size_t hash_of(ByteView bytes) { return std::hash<std::string_view>{}(as_text(bytes)); }

/// "page:hash" of the page at `offset` of a file of `size` bytes, unless it is all zeros.
void add_page(std::ostream& out, Volume& volume, Ino ino, std::uint64_t offset,
              std::uint64_t size) {
  Bytes bytes(static_cast<std::size_t>(std::min(kPage, size - offset)));
  bytes.resize(volume.read(ino, offset, bytes));
  if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; })) {
    return;
  }
  out << ' ' << offset / kPage << ':' << std::hex << hash_of(bytes) << std::dec;
}

void add_pages_of_memory(std::ostream& out, MemoryVolume& volume, Ino ino, std::uint64_t size) {
  for (const auto& [page, bytes] : volume.data(ino).pages()) {
    if (page * kPage < size) add_page(out, volume, ino, page * kPage, size);
  }
}

void add_pages(std::ostream& out, Volume& volume, Ino ino, std::uint64_t size) {
  for (std::uint64_t at = 0; at < size;) {
    std::uint64_t end = 0;
    try {
      at = volume.seek(ino, at, SeekWhat::kData);
      end = volume.seek(ino, at, SeekWhat::kHole);
    } catch (const PosixError& error) {
      if (error.code() != ENXIO) throw;
      return;
    }
    const std::uint64_t last = std::min(end, at + kLongestRange);
    for (at = at / kPage * kPage; at < last; at += kPage) add_page(out, volume, ino, at, size);
    at = std::max(at, end);
  }
}

void add_content(std::ostream& out, Volume& volume, Ino ino, std::uint64_t size) {
  out << "  data";
  if (auto* memory = dynamic_cast<MemoryVolume*>(&volume)) {
    add_pages_of_memory(out, *memory, ino, size);
  } else {
    add_pages(out, volume, ino, size);
  }
  out << '\n';
}

void add_xattrs(std::ostream& out, Volume& volume, Ino ino) {
  std::vector<std::string> names = volume.list_xattrs(ino);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::optional<Bytes> value = volume.get_xattr(ino, name);
    out << "  " << name << " = " << (value ? to_hex(Bytes(*value)) : "none") << '\n';
  }
}

std::vector<std::pair<std::string, Ino>> entries_of(Volume& volume, Ino directory) {
  std::vector<std::pair<std::string, Ino>> out;
  volume.read_directory(directory, 0, false, [&](const DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..") out.emplace_back(entry.name, entry.ino);
    return true;
  });
  std::sort(out.begin(), out.end());
  return out;
}

void add_inode(std::ostream& out, Volume& volume, Ino ino, const std::string& path) {
  const Attributes attributes = volume.getattr(ino);
  out << path << ": " << text_of(attributes) << '\n';
  add_xattrs(out, volume, ino);
  if (S_ISLNK(attributes.mode)) out << "  target " << volume.readlink(ino) << '\n';
  if (S_ISREG(attributes.mode)) add_content(out, volume, ino, attributes.size);
  if (!S_ISDIR(attributes.mode)) return;
  for (const auto& [name, child] : entries_of(volume, ino)) {
    add_inode(out, volume, child, path + "/" + name);
  }
}

std::shared_ptr<const std::string> shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

/// The first line in which two texts differ, from both.
std::string line_difference(const std::string& is, const std::string& expected) {
  std::istringstream one(is);
  std::istringstream other(expected);
  for (;;) {
    std::string a;
    std::string b;
    const bool more_a = static_cast<bool>(std::getline(one, a));
    const bool more_b = static_cast<bool>(std::getline(other, b));
    if (!more_a && !more_b) return "nothing";
    if (a != b) return "'" + a.substr(0, 300) + "' instead of '" + b.substr(0, 300) + "'";
  }
}

}  // namespace

std::string text_of(Volume& volume) {
  std::ostringstream out;
  add_inode(out, volume, kRootIno, "");
  return out.str();
}

RepositoryState state_of(Repository& repository) {
  RepositoryState out;
  for (const VolumeInfo& info : repository.volumes()) {
    out["volume " + info.row.name] = shared(text_of(*repository.attach(info.row.name)));
    for (const SnapshotRow& row : repository.snapshots(info.row.name)) {
      const std::string reference = info.row.name + "@" + row.name;
      out["snapshot " + reference] = shared(text_of(*repository.attach_snapshot(reference)));
    }
  }
  for (const VolumeInfo& info : repository.trash()) out["trash " + info.row.name] = shared("");
  return out;
}

bool equal(const RepositoryState& one, const RepositoryState& other) {
  return one.size() == other.size() &&
         std::equal(one.begin(), one.end(), other.begin(), [](const auto& a, const auto& b) {
           return a.first == b.first && (a.second == b.second || *a.second == *b.second);
         });
}

std::string difference(const RepositoryState& is, const RepositoryState& expected) {
  for (const auto& [name, text] : expected) {
    const auto found = is.find(name);
    if (found == is.end()) return name + " is missing";
    if (*found->second != *text) return name + " has " + line_difference(*found->second, *text);
  }
  for (const auto& [name, text] : is) {
    if (!expected.contains(name)) return name + " should not be there";
  }
  return {};
}

}  // namespace varve::test
