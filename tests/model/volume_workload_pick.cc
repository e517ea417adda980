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

// ---- picking -----------------------------------------------------------------------------------

std::uint64_t VolumeWorkload::random(std::uint64_t below) { return random_() % below; }

Ino VolumeWorkload::any_inode(MemoryVolume& reference) {
  if (chance(1)) return Ino{1 + random(reference.next_ino() + 2)};  // perhaps freed long ago
  const std::vector<Ino> inodes = reference.inodes();
  return inodes[random(inodes.size())];
}

Ino VolumeWorkload::any_directory(MemoryVolume& reference) {
  for (int i = 0; i < 12; ++i) {
    const Ino ino = any_inode(reference);
    const std::vector<Ino> inodes = reference.inodes();
    if (!std::binary_search(inodes.begin(), inodes.end(), ino)) continue;
    if (S_ISDIR(reference.getattr(ino).mode)) return ino;
  }
  return chance(90) ? kRootIno : any_inode(reference);
}

Ino VolumeWorkload::any_file(MemoryVolume& reference) {
  Ino ino{};
  for (int i = 0; i < 6; ++i) {
    ino = any_inode(reference);
    const std::vector<Ino> inodes = reference.inodes();
    if (!std::binary_search(inodes.begin(), inodes.end(), ino)) continue;
    if (S_ISREG(reference.getattr(ino).mode)) return ino;
  }
  return ino;
}

std::string VolumeWorkload::any_name() {
  static const std::vector<std::string> odd{".",
                                            "..",
                                            "",
                                            "a/b",
                                            std::string(255, 'x'),
                                            std::string(256, 'y'),
                                            std::string("a\0b", 3),
                                            "\xff\xfe"};
  if (chance(2)) return odd[random(odd.size())];
  return names_[random(names_.size())];
}

VolumeWorkload::Named VolumeWorkload::any_entry(MemoryVolume& reference, Ino directory) {
  std::vector<Named> entries;
  try {
    reference.read_directory(directory, 2, false, [&](const DirectoryEntry& entry) {
      entries.push_back({std::string(entry.name), S_ISDIR(entry.type)});
      return true;
    });
  } catch (const Error&) {
  }
  if (entries.empty() || chance(25)) return {any_name(), chance(30)};
  return entries[random(entries.size())];
}

std::uint32_t VolumeWorkload::any_mode() {
  return static_cast<std::uint32_t>(chance(70) ? 0755 : random(010000));
}

Caller VolumeWorkload::any_caller() {
  return {static_cast<std::uint32_t>(random(3) * 500), static_cast<std::uint32_t>(random(3) * 100),
          chance(80) ? 022u : static_cast<std::uint32_t>(random(01000))};
}

std::uint64_t VolumeWorkload::any_offset(MemoryVolume& reference, Ino ino) {
  if (chance(1)) return kMaxFileBytes - random(3);
  if (chance(2)) return random(1ull << 40);
  if (chance(30)) return random(2000);
  if (chance(20)) return random(options_.file_bytes / kBlockBytes) * kBlockBytes;
  if (chance(10)) return random(options_.file_bytes / kRegionBytes + 1) * kRegionBytes;
  if (chance(20)) {
    try {
      return reference.getattr(ino).size;
    } catch (const Error&) {
    }
  }
  return random(options_.file_bytes);
}

std::uint64_t VolumeWorkload::any_size() {
  if (chance(1)) return random(64 * options_.largest_write) + 1;
  if (chance(10)) return (1 + random(3)) * kBlockBytes;
  if (chance(50)) return random(300);
  return random(options_.largest_write) + 1;
}

Bytes VolumeWorkload::any_data() {
  Bytes out(any_size());
  if (chance(15)) return out;  // zeros
  const std::uint64_t seed = random_();
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::byte>((seed + i * i) >> (i % 40));
  }
  return out;
}

std::string VolumeWorkload::any_xattr_name() {
  static const std::vector<std::string> names{"user.a",
                                              "user.b",
                                              "user.c",
                                              "trusted.t",
                                              "security.selinux",
                                              "user.",
                                              "bad.name",
                                              "security.capability",
                                              "system.other",
                                              std::string(kAccessAclName),
                                              std::string(kDefaultAclName)};
  if (chance(1)) return "user." + std::string(300, 'n');
  return names[random(names.size())];
}

Bytes VolumeWorkload::any_acl() {
  using Tag = Acl::Tag;
  Bytes bytes;
  ByteWriter out(bytes);
  out.u32(chance(3) ? 1 : 2);
  const bool named = chance(60);
  const auto entry = [&](Tag tag, std::uint32_t id) {
    out.u16(static_cast<std::uint16_t>(tag));
    out.u16(static_cast<std::uint16_t>(random(8)));
    out.u32(id);
  };
  if (chance(5)) return bytes;
  entry(Tag::kUserObj, Acl::kUndefinedId);
  if (named) entry(Tag::kUser, 1000);
  entry(Tag::kGroupObj, Acl::kUndefinedId);
  if (named && chance(50)) entry(Tag::kGroup, 100);
  if (named ? !chance(5) : chance(20)) entry(Tag::kMask, Acl::kUndefinedId);
  entry(Tag::kOther, Acl::kUndefinedId);
  return bytes;
}

}  // namespace varve::test
