// SPDX-License-Identifier: Apache-2.0
#include "tests/model/volume_workload.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <sstream>
#include <utility>

#include "fs/acl.h"
#include "store/base/error.h"

namespace varve::test {
namespace {

std::string text_of(Ino ino) { return std::to_string(to_integer(ino)); }

std::string text_of(const Time& time) {
  return std::to_string(time.seconds) + "." + std::to_string(time.nanoseconds);
}

std::string text_of(ByteView bytes) {
  if (bytes.size() <= 32) return to_hex(bytes);
  return std::to_string(bytes.size()) + " bytes #" +
         std::to_string(std::hash<std::string_view>{}(as_text(bytes)));
}

std::string outcome(const std::function<std::string(Volume&)>& run, Volume& volume) {
  try {
    return run(volume);
  } catch (const Error& error) {
    return "errno " + std::to_string(error.code());
  }
}

/// "name ino type" of each entry, sorted, and the attributes if they are asked for. Read in pieces
/// of `piece` entries.
std::string listing(Volume& volume, Ino directory, bool with_attributes, std::size_t piece) {
  std::vector<std::string> lines;
  std::uint64_t cookie = 0;
  for (bool more = true; more;) {
    std::size_t taken = 0;
    more = false;
    volume.read_directory(directory, cookie, with_attributes, [&](const DirectoryEntry& entry) {
      if (taken == piece) {
        more = true;
        return false;
      }
      ++taken;
      cookie = entry.cookie;
      std::string line(entry.name);
      line += " " + text_of(entry.ino) + " " + std::to_string(entry.type);
      if (entry.attributes != nullptr) line += " " + test::text_of(*entry.attributes);
      lines.push_back(std::move(line));
      return true;
    });
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

std::string xattr_listing(Volume& volume, Ino ino) {
  std::vector<std::string> names = volume.list_xattrs(ino);
  std::sort(names.begin(), names.end());
  std::string out;
  for (const std::string& name : names) {
    const std::optional<Bytes> value = volume.get_xattr(ino, name);
    out += name + "=" + (value ? text_of(ByteView(*value)) : "none") + "\n";
  }
  return out;
}

/// The ranges in which a volume may hold data.
std::vector<std::pair<std::uint64_t, std::uint64_t>> data_ranges(Volume& volume, Ino ino,
                                                                 std::uint64_t size) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
  for (std::uint64_t at = 0; at < size;) {
    try {
      const std::uint64_t begin = volume.seek(ino, at, SeekWhat::kData);
      const std::uint64_t end = volume.seek(ino, begin, SeekWhat::kHole);
      EXPECT_GE(begin, at);
      EXPECT_GT(end, begin);
      out.emplace_back(begin, end);
      if (end <= at) break;
      at = end;
    } catch (const PosixError& error) {
      EXPECT_EQ(error.code(), ENXIO);
      break;
    }
  }
  return out;
}

bool same_range(Volume& volume, MemoryVolume& reference, Ino ino, std::uint64_t begin,
                std::uint64_t end) {
  constexpr std::uint64_t kStep = 1 << 17;
  Bytes one(kStep);
  Bytes other(kStep);
  for (; begin < end; begin += kStep) {
    const std::size_t want = std::min(kStep, end - begin);
    const std::size_t got = volume.read(ino, begin, std::span(one).first(want));
    const std::size_t expected = reference.read(ino, begin, std::span(other).first(want));
    if (got != expected) return false;
    if (!std::equal(one.begin(), one.begin() + static_cast<std::ptrdiff_t>(got), other.begin())) {
      return false;
    }
  }
  return true;
}

bool same_data(Volume& volume, MemoryVolume& reference, Ino ino, std::uint64_t size) {
  for (const auto& [begin, end] : data_ranges(volume, ino, size)) {
    // A huge range that is said to hold data holds none of it in the reference: sample its edges.
    constexpr std::uint64_t kLongest = 16 << 20;
    if (!same_range(volume, reference, ino, begin, std::min(end, begin + kLongest))) return false;
  }
  for (const auto& [page, bytes] : reference.data(ino).pages()) {
    const std::uint64_t begin = page * SparseBytes::kPageBytes;
    if (!same_range(volume, reference, ino, begin, begin + SparseBytes::kPageBytes)) return false;
  }
  return true;
}

}  // namespace

std::string text_of(const Attributes& a) {
  std::ostringstream out;
  out << "ino " << to_integer(a.ino) << " mode " << std::oct << a.mode << std::dec << " nlink "
      << a.nlink << " owner " << a.uid << ":" << a.gid << " rdev " << a.rdev << " size " << a.size
      << " times " << text_of(a.atime) << " " << text_of(a.mtime) << " " << text_of(a.ctime) << " "
      << text_of(a.btime);
  return out.str();
}

VolumeWorkload::VolumeWorkload(const Options& options)
    : options_(options),
      random_(options.seed),
      time_(std::make_shared<Time>(Time{1'700'000'000, 0})) {
  for (std::size_t i = 0; i < options.names; ++i) {
    names_.push_back(i % 5 == 4 ? std::string(20 * i, static_cast<char>('a' + i % 26))
                                : "name" + std::to_string(i));
  }
}

std::function<Time()> VolumeWorkload::clock() const {
  return [time = time_] { return *time; };
}

bool VolumeWorkload::step(Volume& volume, MemoryVolume& reference) {
  ++steps_;
  ++time_->seconds;
  time_->nanoseconds = static_cast<std::uint32_t>(steps_ % 1'000'000'000);
  if (options_.data && chance(3)) return check_seek(volume, reference);
  const Operation operation = pick(reference);
  const std::string expected = outcome(operation.run, reference);
  const std::string got = outcome(operation.run, volume);
  EXPECT_EQ(got, expected) << "step " << steps_ << ": " << operation.text;
  return got == expected;
}

bool VolumeWorkload::run(Volume& volume, MemoryVolume& reference, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!step(volume, reference)) return false;
  }
  return true;
}

bool VolumeWorkload::equal(Volume& volume, MemoryVolume& reference) {
  std::vector<std::pair<Ino, std::string>> pending{{kRootIno, "/"}};
  bool same = true;
  const auto compare = [&](const std::string& path, const char* what, const auto& text) {
    const std::string expected = outcome(text, reference);
    const std::string got = outcome(text, volume);
    EXPECT_EQ(got, expected) << what << " of " << path;
    same = same && got == expected;
  };
  while (same && !pending.empty()) {
    const Ino ino = pending.back().first;
    const std::string path = pending.back().second;
    pending.pop_back();
    compare(path, "attributes", [&](Volume& v) { return text_of(v.getattr(ino)); });
    compare(path, "xattrs", [&](Volume& v) { return xattr_listing(v, ino); });
    const Attributes attributes = reference.getattr(ino);
    if (S_ISLNK(attributes.mode)) {
      compare(path, "target", [&](Volume& v) { return v.readlink(ino); });
    } else if (S_ISREG(attributes.mode)) {
      const bool equal_data = same_data(volume, reference, ino, attributes.size);
      EXPECT_TRUE(equal_data) << "content of " << path;
      same = same && equal_data;
    } else if (S_ISDIR(attributes.mode)) {
      compare(path, "entries", [&](Volume& v) { return listing(v, ino, false, 1000); });
      reference.read_directory(ino, 2, false, [&](const DirectoryEntry& entry) {
        pending.emplace_back(entry.ino, path + std::string(entry.name) + "/");
        return true;
      });
    }
  }
  return same;
}

// ---- operations --------------------------------------------------------------------------------

VolumeWorkload::Operation VolumeWorkload::pick(MemoryVolume& reference) {
  using Make = Operation (VolumeWorkload::*)(MemoryVolume&);
  struct Choice {
    unsigned weight;
    Make make;
    bool data;
  };
  static constexpr Choice kChoices[] = {{14, &VolumeWorkload::make_operation, false},
                                        {12, &VolumeWorkload::remove_operation, false},
                                        {12, &VolumeWorkload::rename_operation, false},
                                        {5, &VolumeWorkload::link_operation, false},
                                        {8, &VolumeWorkload::lookup_operation, false},
                                        {12, &VolumeWorkload::forget_operation, false},
                                        {6, &VolumeWorkload::setattr_operation, false},
                                        {8, &VolumeWorkload::xattr_operation, false},
                                        {4, &VolumeWorkload::list_operation, false},
                                        {12, &VolumeWorkload::write_operation, true},
                                        {8, &VolumeWorkload::read_operation, true},
                                        {4, &VolumeWorkload::truncate_operation, true},
                                        {3, &VolumeWorkload::allocate_operation, true},
                                        {3, &VolumeWorkload::copy_operation, true}};
  unsigned total = 0;
  for (const Choice& choice : kChoices) total += choice.data && !options_.data ? 0 : choice.weight;
  std::uint64_t at = random(total);
  for (const Choice& choice : kChoices) {
    if (choice.data && !options_.data) continue;
    if (at < choice.weight) return (this->*choice.make)(reference);
    at -= choice.weight;
  }
  return lookup_operation(reference);
}

VolumeWorkload::Operation VolumeWorkload::make_operation(MemoryVolume& reference) {
  if (reference.inodes().size() > options_.inodes_wanted && chance(70)) {
    return remove_operation(reference);
  }
  const Ino parent = any_directory(reference);
  const std::string name = any_name();
  const std::uint32_t mode = any_mode();
  const Caller caller = any_caller();
  const std::string where = text_of(parent) + "/" + name + " mode " + std::to_string(mode);
  switch (random(8)) {
    case 0:
    case 1:
      return {"mkdir " + where,
              [=](Volume& v) { return text_of(v.make_directory(parent, name, mode, caller)); }};
    case 2: {
      const std::string target(chance(10) ? random(4200) : 1 + random(60), 't');
      return {"symlink " + where,
              [=](Volume& v) { return text_of(v.make_symlink(parent, name, target, caller)); }};
    }
    case 3:
      return {"tmpfile " + where,
              [=](Volume& v) { return text_of(v.make_temporary(parent, mode, caller)); }};
    case 4: {
      static constexpr std::uint32_t kTypes[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK,
                                                 S_IFDIR, S_IFLNK,  0,       0150000};
      const std::uint32_t typed = mode | kTypes[random(std::size(kTypes))];
      return {"mknod " + where,
              [=](Volume& v) { return text_of(v.make_node(parent, name, typed, 0x1234, caller)); }};
    }
    default:
      return {"create " + where, [=](Volume& v) {
                return text_of(v.make_node(parent, name, mode | S_IFREG, 0, caller));
              }};
  }
}

VolumeWorkload::Operation VolumeWorkload::remove_operation(MemoryVolume& reference) {
  const Ino parent = any_directory(reference);
  const auto [name, directory] = any_entry(reference, parent);
  const std::string where = text_of(parent) + "/" + name;
  if (directory != chance(5)) {
    return {"rmdir " + where, [parent, name = name](Volume& v) {
              v.rmdir(parent, name);
              return std::string();
            }};
  }
  return {"unlink " + where, [parent, name = name](Volume& v) {
            v.unlink(parent, name);
            return std::string();
          }};
}

VolumeWorkload::Operation VolumeWorkload::rename_operation(MemoryVolume& reference) {
  const Ino parent = any_directory(reference);
  const Ino new_parent = chance(40) ? parent : any_directory(reference);
  const std::string name = any_entry(reference, parent).name;
  const std::string new_name = chance(50) ? any_name() : any_entry(reference, new_parent).name;
  const RenameMode mode = chance(60)   ? RenameMode::kReplace
                          : chance(50) ? RenameMode::kNoReplace
                                       : RenameMode::kExchange;
  return {"rename " + text_of(parent) + "/" + name + " to " + text_of(new_parent) + "/" + new_name +
              " mode " + std::to_string(static_cast<int>(mode)),
          [=](Volume& v) {
            v.rename(parent, name, new_parent, new_name, mode);
            return std::string();
          }};
}

VolumeWorkload::Operation VolumeWorkload::link_operation(MemoryVolume& reference) {
  const Ino ino = chance(80) ? any_file(reference) : any_inode(reference);
  const Ino parent = any_directory(reference);
  const std::string name = any_name();
  return {"link " + text_of(ino) + " as " + text_of(parent) + "/" + name,
          [=](Volume& v) { return text_of(v.link(ino, parent, name)); }};
}

VolumeWorkload::Operation VolumeWorkload::lookup_operation(MemoryVolume& reference) {
  const Ino parent = any_directory(reference);
  const std::string name = any_entry(reference, parent).name;
  const Ino ino = any_inode(reference);
  if (chance(30)) {
    return {"getattr " + text_of(ino), [=](Volume& v) { return text_of(v.getattr(ino)); }};
  }
  if (chance(15)) {
    return {"readlink " + text_of(ino), [=](Volume& v) { return v.readlink(ino); }};
  }
  return {"lookup " + text_of(parent) + "/" + name, [=](Volume& v) {
            const std::optional<Attributes> found = v.lookup(parent, name);
            return found ? text_of(*found) : std::string("none");
          }};
}

VolumeWorkload::Operation VolumeWorkload::forget_operation(MemoryVolume& reference) {
  const Ino ino = any_inode(reference);
  const std::uint64_t lookups = reference.lookups(ino);
  const std::uint64_t count = lookups == 0 ? 0 : chance(60) ? lookups : 1 + random(lookups);
  return {"forget " + text_of(ino) + " " + std::to_string(count) + " times", [=](Volume& v) {
            if (count > 0) v.forget(ino, count);
            return std::string();
          }};
}

VolumeWorkload::Operation VolumeWorkload::setattr_operation(MemoryVolume& reference) {
  const Ino ino = any_inode(reference);
  SetAttributes change;
  if (chance(40)) change.mode = any_mode() | (chance(20) ? 06000u : 0u);
  if (chance(30)) change.uid = static_cast<std::uint32_t>(random(1000));
  if (chance(30)) change.gid = static_cast<std::uint32_t>(random(1000));
  if (chance(20)) change.atime = Time{static_cast<std::int64_t>(random(1000)) - 500, 7};
  if (chance(20)) change.mtime = SetAttributes::Now{};
  if (chance(10)) change.mtime = Time{-1, 999'999'999};
  if (chance(5)) change.ctime = Time{77, 8};
  change.clear_setid = chance(10);
  const Caller caller = any_caller();
  return {"setattr " + text_of(ino),
          [=](Volume& v) { return text_of(v.setattr(ino, change, caller)); }};
}

VolumeWorkload::Operation VolumeWorkload::truncate_operation(MemoryVolume& reference) {
  const Ino ino = any_file(reference);
  SetAttributes change;
  change.size = any_offset(reference, ino);
  if (chance(1)) change.size = kMaxFileBytes + 1;
  if (chance(20)) change.size = 0;
  change.clear_setid = chance(50);
  return {"truncate " + text_of(ino) + " to " + std::to_string(*change.size),
          [=](Volume& v) { return text_of(v.setattr(ino, change, {})); }};
}

VolumeWorkload::Operation VolumeWorkload::xattr_operation(MemoryVolume& reference) {
  const Ino ino = any_inode(reference);
  const std::string name = any_xattr_name();
  const std::string what = text_of(ino) + " " + name;
  if (chance(20)) {
    return {"getxattr " + what, [=](Volume& v) {
              const std::optional<Bytes> value = v.get_xattr(ino, name);
              return value ? text_of(ByteView(*value)) : std::string("none");
            }};
  }
  if (chance(15)) {
    return {"listxattr " + what, [=](Volume& v) { return xattr_listing(v, ino); }};
  }
  if (chance(25)) {
    return {"removexattr " + what, [=](Volume& v) {
              v.remove_xattr(ino, name);
              return std::string();
            }};
  }
  const bool acl = name == kAccessAclName || name == kDefaultAclName;
  Bytes value = acl ? any_acl() : Bytes(chance(5) ? random(70'000) : random(1500));
  if (!acl && !value.empty()) value[0] = static_cast<std::byte>(random(256));
  const XattrMode mode = chance(60)   ? XattrMode::kAny
                         : chance(50) ? XattrMode::kCreate
                                      : XattrMode::kReplace;
  const bool clear_setgid = chance(30);
  return {"setxattr " + what + " = " + text_of(ByteView(value)), [=](Volume& v) {
            v.set_xattr(ino, name, value, mode, clear_setgid);
            return std::string();
          }};
}

VolumeWorkload::Operation VolumeWorkload::list_operation(MemoryVolume& reference) {
  const Ino ino = any_directory(reference);
  const bool with_attributes = chance(50);
  const std::size_t piece = 1 + random(50);
  return {"readdir " + text_of(ino),
          [=](Volume& v) { return listing(v, ino, with_attributes, piece); }};
}

VolumeWorkload::Operation VolumeWorkload::write_operation(MemoryVolume& reference) {
  const Ino ino = any_file(reference);
  const std::uint64_t offset = any_offset(reference, ino);
  const Bytes data = any_data();
  const bool clear_setid = chance(50);
  return {"write " + text_of(ino) + " at " + std::to_string(offset) + " size " +
              std::to_string(data.size()),
          [=](Volume& v) {
            v.write(ino, offset, data, clear_setid);
            return data.empty() ? std::string() : text_of(v.getattr(ino));
          }};
}

VolumeWorkload::Operation VolumeWorkload::read_operation(MemoryVolume& reference) {
  const Ino ino = any_file(reference);
  const std::uint64_t offset = any_offset(reference, ino);
  const std::uint64_t size = chance(20) ? 1 << 17 : any_size();
  return {
      "read " + text_of(ino) + " at " + std::to_string(offset) + " size " + std::to_string(size),
      [=](Volume& v) {
        Bytes out(size);
        out.resize(v.read(ino, offset, out));
        return text_of(ByteView(out));
      }};
}

VolumeWorkload::Operation VolumeWorkload::allocate_operation(MemoryVolume& reference) {
  const Ino ino = any_file(reference);
  const std::uint64_t offset = any_offset(reference, ino);
  const std::uint64_t size = chance(10) ? random(1ull << 41) : any_size();
  const auto mode = static_cast<AllocateMode>(random(5));
  return {"allocate " + text_of(ino) + " at " + std::to_string(offset) + " size " +
              std::to_string(size) + " mode " + std::to_string(static_cast<int>(mode)),
          [=](Volume& v) {
            v.allocate(ino, mode, offset, size);
            return text_of(v.getattr(ino));
          }};
}

VolumeWorkload::Operation VolumeWorkload::copy_operation(MemoryVolume& reference) {
  const Ino from = any_file(reference);
  const Ino to = any_file(reference);
  const bool aligned = chance(50);
  std::uint64_t from_offset = any_offset(reference, from);
  std::uint64_t to_offset = any_offset(reference, to);
  if (aligned) from_offset = from_offset % options_.file_bytes / kRegionBytes * kRegionBytes;
  if (aligned) to_offset = to_offset % options_.file_bytes / kRegionBytes * kRegionBytes;
  std::uint64_t size = aligned ? (1 + random(3)) * kRegionBytes : any_size();
  if (options_.whole_copies) size = std::min(size, kRegionBytes - from_offset % kRegionBytes);
  return {"copy " + text_of(from) + " at " + std::to_string(from_offset) + " to " + text_of(to) +
              " at " + std::to_string(to_offset) + " size " + std::to_string(size),
          [=](Volume& v) {
            const std::uint64_t copied = v.copy_range(from, from_offset, to, to_offset, size);
            return std::to_string(copied) + " " + text_of(v.getattr(to));
          }};
}

/// Where holes are is the volume's choice; that they hold no data is not.
bool VolumeWorkload::check_seek(Volume& volume, MemoryVolume& reference) {
  const Ino ino = any_file(reference);
  const std::uint64_t offset = any_offset(reference, ino);
  const SeekWhat what = chance(50) ? SeekWhat::kData : SeekWhat::kHole;
  const auto seek = [&](Volume& v) { return std::to_string(v.seek(ino, offset, what)); };
  const std::string expected = outcome(seek, reference);
  const std::string got = outcome(seek, volume);
  const bool refused = expected.starts_with("errno");
  if (refused || what == SeekWhat::kHole) {
    const bool same = refused ? got == expected : !got.starts_with("errno");
    EXPECT_TRUE(same) << "seek " << text_of(ino) << ": " << got << " not " << expected;
    if (!same || refused) return same;
    const std::uint64_t hole = std::stoull(got);
    const std::uint64_t size = reference.getattr(ino).size;
    std::byte byte{0};
    if (hole < size) reference.read(ino, hole, {&byte, 1});
    const bool right = hole >= offset && hole <= size && byte == std::byte{0};
    EXPECT_TRUE(right) << "hole of " << text_of(ino) << " after " << offset << ": " << got;
    return right;
  }
  // Nothing but zeros may be skipped.
  const std::uint64_t size = reference.getattr(ino).size;
  const bool to_end = got == "errno " + std::to_string(ENXIO);
  EXPECT_TRUE(to_end || !got.starts_with("errno")) << got;
  if (!to_end && got.starts_with("errno")) return false;
  const std::uint64_t data = to_end ? size : std::stoull(got);
  bool right = data >= offset && data <= size;
  for (const auto& [page, bytes] : reference.data(ino).pages()) {
    for (std::uint64_t i = 0; i < SparseBytes::kPageBytes; ++i) {
      const std::uint64_t at = page * SparseBytes::kPageBytes + i;
      if (at >= offset && at < data && at < size && bytes[i] != std::byte{0}) right = false;
    }
  }
  EXPECT_TRUE(right) << "data of " << text_of(ino) << " after " << offset << ": " << got;
  return right;
}

}  // namespace varve::test
