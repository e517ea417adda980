// SPDX-License-Identifier: Apache-2.0
#include "fs/entries.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "fs/volume.h"
#include "store/base/error.h"

namespace varve {
namespace {

struct Slot {
  std::uint64_t sub = 0;
  std::optional<Bytes> value;  ///< none: the slot is free
};

/// Looks through the slots of one hash for the record that `matches`; else gives the lowest free,
/// base + kNameSlots if there is none.
template <class Matches>
Slot probe(Transaction& transaction, Ino ino, Kind kind, std::uint64_t base, Matches&& matches) {
  Slot out;
  std::uint64_t lowest_free = base;
  transaction.scan({ino, kind, base}, {ino, kind, base + kNameSlots},
                   [&](const Key& key, ByteView value) {
                     if (key.sub == lowest_free) ++lowest_free;
                     if (!matches(value)) return true;
                     out.sub = key.sub;
                     out.value.emplace(value.begin(), value.end());
                     return false;
                   });
  if (out.value) return out;
  out.sub = lowest_free;
  return out;
}

void check_free(const Slot& slot, std::uint64_t base) {
  VARVE_CHECK(!slot.value);
  if (slot.sub == base + kNameSlots) throw PosixError(ENOSPC, "too many names with one hash");
}

Slot probe_entry(Transaction& transaction, Ino directory, std::string_view name) {
  return probe(transaction, directory, Kind::kDirent, name_slot_base(name),
               [&](ByteView value) { return DirentRecord::decode(value).name == name; });
}

std::uint64_t linkref_slot_base(const Place& place) {
  Bytes hashed;
  ByteWriter out(hashed);
  out.u64(to_integer(place.parent));
  out.raw(as_bytes(place.name));
  return name_slot_base(as_text(hashed));
}

Slot probe_linkref(Transaction& transaction, Ino ino, const Place& place) {
  return probe(transaction, ino, Kind::kLinkref, linkref_slot_base(place), [&](ByteView value) {
    const LinkrefRecord linkref = LinkrefRecord::decode(value);
    return linkref.parent == place.parent && linkref.cookie == place.cookie;
  });
}

void insert_linkref(Transaction& transaction, Ino ino, const Place& place) {
  const Slot slot = probe_linkref(transaction, ino, place);
  check_free(slot, linkref_slot_base(place));
  transaction.set({ino, Kind::kLinkref, slot.sub},
                  LinkrefRecord{place.parent, place.cookie}.encode());
}

/// The file gets its second name: the first one moves from the inode into a linkref.
void switch_to_linkrefs(Transaction& transaction, Ino ino, InodeRecord& inode) {
  const std::optional<Bytes> first =
      transaction.find({inode.parent, Kind::kDirent, inode.name_cookie});
  if (!first) {
    throw CorruptionError("inode " + std::to_string(to_integer(ino)) +
                          " has no entry in its parent");
  }
  const DirentRecord entry = DirentRecord::decode(*first);
  insert_linkref(transaction, ino, {inode.parent, inode.name_cookie, entry.name});
  inode.flags |= InodeFlags::kLinkrefs;
  inode.parent = Ino{};
  inode.name_cookie = 0;
}

}  // namespace

void check_name(std::string_view name) {
  if (name.empty() || name.find('/') != name.npos || name.find('\0') != name.npos) {
    throw PosixError(EINVAL);
  }
  if (name.size() > kMaxNameBytes) throw PosixError(ENAMETOOLONG);
}

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

InodeRecord directory_inode(Transaction& transaction, Ino ino) {
  InodeRecord inode = transaction.inode(ino);
  if (!S_ISDIR(inode.mode)) throw PosixError(ENOTDIR);
  return inode;
}

std::optional<Entry> find_entry(Transaction& transaction, Ino directory, std::string_view name) {
  const Slot slot = probe_entry(transaction, directory, name);
  if (!slot.value) return std::nullopt;
  return Entry{slot.sub, DirentRecord::decode(*slot.value)};
}

std::uint64_t insert_entry(Transaction& transaction, Ino directory, const DirentRecord& record) {
  const Slot slot = probe_entry(transaction, directory, record.name);
  check_free(slot, name_slot_base(record.name));
  transaction.set({directory, Kind::kDirent, slot.sub}, record.encode());
  return slot.sub;
}

void replace_entry(Transaction& transaction, Ino directory, const Entry& entry, Ino ino,
                   std::uint32_t type) {
  transaction.set({directory, Kind::kDirent, entry.cookie},
                  DirentRecord{ino, type, entry.record.name}.encode());
}

void erase_entry(Transaction& transaction, Ino directory, std::uint64_t cookie) {
  transaction.erase({directory, Kind::kDirent, cookie});
}

void add_place(Transaction& transaction, Ino ino, InodeRecord& inode, const Place& place) {
  const bool first = inode.name_cookie == 0;
  if ((inode.flags & InodeFlags::kLinkrefs) == 0) {
    if (first) {
      inode.parent = place.parent;
      inode.name_cookie = place.cookie;
      return;
    }
    switch_to_linkrefs(transaction, ino, inode);
  }
  insert_linkref(transaction, ino, place);
}

void remove_place(Transaction& transaction, Ino ino, InodeRecord& inode, const Place& place) {
  if ((inode.flags & InodeFlags::kLinkrefs) == 0) {
    inode.parent = Ino{};
    inode.name_cookie = 0;
    return;
  }
  const Slot slot = probe_linkref(transaction, ino, place);
  if (slot.value) transaction.erase({ino, Kind::kLinkref, slot.sub});
}

}  // namespace varve
