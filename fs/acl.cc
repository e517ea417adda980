// SPDX-License-Identifier: Apache-2.0
#include "fs/acl.h"

#include <algorithm>
#include <cerrno>

#include "store/base/error.h"

namespace varve {
namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kHeaderBytes = 4;
constexpr std::size_t kEntryBytes = 8;

/// Entries of a valid ACL come in the order of their tags' values.
bool is_named(Acl::Tag tag) { return tag == Acl::Tag::kUser || tag == Acl::Tag::kGroup; }

bool is_known(std::uint16_t tag) {
  switch (Acl::Tag{tag}) {
    case Acl::Tag::kUserObj:
    case Acl::Tag::kUser:
    case Acl::Tag::kGroupObj:
    case Acl::Tag::kGroup:
    case Acl::Tag::kMask:
    case Acl::Tag::kOther:
      return true;
  }
  return false;
}

}  // namespace

std::optional<Acl> Acl::parse(ByteView value) {
  if (value.empty()) return std::nullopt;
  if (value.size() < kHeaderBytes) throw PosixError(EINVAL);
  ByteReader in(value, "access control list");
  if (in.u32() != kVersion) throw PosixError(EOPNOTSUPP);
  if (in.remaining() % kEntryBytes != 0) throw PosixError(EINVAL);
  if (in.done()) return std::nullopt;
  Acl acl;
  while (!in.done()) {
    const std::uint16_t tag = in.u16();
    if (!is_known(tag)) throw PosixError(EINVAL);
    Entry entry{Tag{tag}, in.u16(), in.u32()};
    if (entry.permissions > 7) throw PosixError(EINVAL);
    if (!is_named(entry.tag)) entry.id = kUndefinedId;
    if (is_named(entry.tag) && entry.id == kUndefinedId) throw PosixError(EINVAL);
    acl.entries_.push_back(entry);
  }
  acl.check_valid();
  return acl;
}

void Acl::check_valid() const {
  const bool ordered = std::is_sorted(entries_.begin(), entries_.end(),
                                      [](const Entry& a, const Entry& b) { return a.tag < b.tag; });
  const auto count = [&](Tag tag) {
    return std::count_if(entries_.begin(), entries_.end(),
                         [&](const Entry& entry) { return entry.tag == tag; });
  };
  const bool named = count(Tag::kUser) + count(Tag::kGroup) > 0;
  const bool once = count(Tag::kUserObj) == 1 && count(Tag::kGroupObj) == 1 &&
                    count(Tag::kOther) == 1 && count(Tag::kMask) <= 1;
  if (!ordered || !once || (named && count(Tag::kMask) == 0)) throw PosixError(EINVAL);
}

Bytes Acl::serialize() const {
  Bytes bytes;
  bytes.reserve(kHeaderBytes + entries_.size() * kEntryBytes);
  ByteWriter out(bytes);
  out.u32(kVersion);
  for (const Entry& entry : entries_) {
    out.u16(static_cast<std::uint16_t>(entry.tag));
    out.u16(static_cast<std::uint16_t>(entry.permissions));
    out.u32(entry.id);
  }
  return bytes;
}

Acl::Entry* Acl::entry_of(Tag tag) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.tag == tag; });
  return found == entries_.end() ? nullptr : &*found;
}

const Acl::Entry* Acl::entry_of(Tag tag) const { return const_cast<Acl*>(this)->entry_of(tag); }

std::uint32_t Acl::permission_bits() const {
  const Entry* mask = entry_of(Tag::kMask);
  const Entry* group = mask != nullptr ? mask : entry_of(Tag::kGroupObj);
  return entry_of(Tag::kUserObj)->permissions << 6 | group->permissions << 3 |
         entry_of(Tag::kOther)->permissions;
}

bool Acl::is_mode_only() const { return entries_.size() == 3; }

void Acl::change_mode(std::uint32_t mode) {
  Entry* mask = entry_of(Tag::kMask);
  Entry* group = mask != nullptr ? mask : entry_of(Tag::kGroupObj);
  entry_of(Tag::kUserObj)->permissions = mode >> 6 & 7;
  group->permissions = mode >> 3 & 7;
  entry_of(Tag::kOther)->permissions = mode & 7;
}

std::uint32_t Acl::inherit(std::uint32_t mode) {
  const std::uint32_t remaining = mode & permission_bits();
  change_mode(remaining);
  return (mode & ~0777u) | remaining;
}

}  // namespace varve
