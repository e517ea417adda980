// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <cerrno>

#include "fs/attached_volume.h"
#include "fs/xattrs.h"
#include "store/base/error.h"

namespace varve {
namespace {

/// listxattr(2) can hand out no more (XATTR_LIST_MAX).
constexpr std::size_t kMaxListBytes = 64 * 1024;

void check_xattr_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name.find('\0') != name.npos) {
    throw PosixError(ERANGE);
  }
  if (name == kAccessAclName || name == kDefaultAclName) return;
  for (const std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (!name.starts_with(prefix)) continue;
    if (name.size() == prefix.size()) throw PosixError(EINVAL);
    return;
  }
  throw PosixError(EOPNOTSUPP);
}

std::uint32_t flag_of(std::string_view name) {
  if (name == kAccessAclName) return InodeFlags::kHasAcl;
  if (name == kCapabilitiesName) return InodeFlags::kHasCaps;
  return 0;
}

void scan_xattrs(Transaction& transaction, Ino ino,
                 const std::function<bool(const Key&, const XattrRecord&)>& visit) {
  transaction.scan(
      {ino, Kind::kXattr, 0}, {ino, Kind::kDirent, 0},
      [&](const Key& key, ByteView value) { return visit(key, XattrRecord::decode(value)); });
}

/// The slot of a new attribute, and the check that its name fits into the list.
std::uint64_t free_slot(Transaction& transaction, Ino ino, const InodeRecord& inode,
                        std::string_view name) {
  std::uint64_t slot = name_slot_base(name);
  if ((inode.flags & InodeFlags::kHasXattr) == 0) return slot;
  const std::uint64_t end = slot + kNameSlots;
  std::size_t list_bytes = name.size() + 1;
  scan_xattrs(transaction, ino, [&](const Key& key, const XattrRecord& record) {
    if (key.sub == slot) ++slot;
    list_bytes += record.name.size() + 1;
    return true;
  });
  if (slot == end || list_bytes > kMaxListBytes) throw PosixError(ENOSPC);
  return slot;
}

/// setxattr of an access ACL: the mode shows it, and an ACL that the mode says in full is dropped.
void set_access_acl(Transaction& transaction, Ino ino, InodeRecord& inode,
                    const std::optional<Acl>& acl, bool clear_setgid) {
  if (acl) {
    inode.mode = (inode.mode & ~0777u) | acl->permission_bits();
    if (clear_setgid) inode.mode &= ~static_cast<std::uint32_t>(S_ISGID);
  }
  if (!acl || acl->is_mode_only()) {
    erase_xattr(transaction, ino, inode, kAccessAclName);
  } else {
    put_xattr(transaction, ino, inode, kAccessAclName, acl->serialize());
  }
}

void set_default_acl(Transaction& transaction, Ino ino, InodeRecord& inode,
                     const std::optional<Acl>& acl) {
  if (!acl) {
    erase_xattr(transaction, ino, inode, kDefaultAclName);
    return;
  }
  if (!S_ISDIR(inode.mode)) throw PosixError(EACCES);
  put_xattr(transaction, ino, inode, kDefaultAclName, acl->serialize());
}

}  // namespace

std::optional<FoundXattr> find_xattr(Transaction& transaction, Ino ino, const InodeRecord& inode,
                                     std::string_view name) {
  if ((inode.flags & InodeFlags::kHasXattr) == 0) return std::nullopt;
  std::optional<FoundXattr> out;
  const std::uint64_t base = name_slot_base(name);
  transaction.scan({ino, Kind::kXattr, base}, {ino, Kind::kXattr, base + kNameSlots},
                   [&](const Key& key, ByteView value) {
                     XattrRecord record = XattrRecord::decode(value);
                     if (record.name != name) return true;
                     out = FoundXattr{key.sub, std::move(record)};
                     return false;
                   });
  return out;
}

void put_xattr(Transaction& transaction, Ino ino, InodeRecord& inode, std::string_view name,
               ByteView value) {
  const std::optional<FoundXattr> found = find_xattr(transaction, ino, inode, name);
  const std::uint64_t slot = found ? found->slot : free_slot(transaction, ino, inode, name);
  const XattrRecord record{std::string(name), Blob{Bytes(value.begin(), value.end())}};
  transaction.set({ino, Kind::kXattr, slot}, record.encode());
  inode.flags |= InodeFlags::kHasXattr | flag_of(name);
}

bool erase_xattr(Transaction& transaction, Ino ino, InodeRecord& inode, std::string_view name) {
  const std::optional<FoundXattr> found = find_xattr(transaction, ino, inode, name);
  if (!found) return false;
  transaction.erase({ino, Kind::kXattr, found->slot});
  inode.flags &= ~flag_of(name);
  bool others = false;
  scan_xattrs(transaction, ino, [&](const Key&, const XattrRecord&) {
    others = true;
    return false;
  });
  if (!others) inode.flags &= ~InodeFlags::kHasXattr;
  return true;
}

Bytes blob_bytes(Transaction& transaction, const Blob& blob) {
  if (blob.is_inline()) return blob.bytes();
  return *transaction.head().store().objects().read(blob.ptr().digest, Wait::kRefused);
}

std::optional<Acl> find_acl(Transaction& transaction, Ino ino, const InodeRecord& inode,
                            std::string_view name) {
  const std::optional<FoundXattr> found = find_xattr(transaction, ino, inode, name);
  if (!found) return std::nullopt;
  return Acl::parse(blob_bytes(transaction, found->record.value));
}

void AttachedVolume::set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                               bool clear_setgid) {
  check_xattr_name(name);
  if (value.size() > kMaxXattrBytes) throw PosixError(E2BIG);
  const bool is_access = name == kAccessAclName;
  const bool is_acl = is_access || name == kDefaultAclName;
  const std::optional<Acl> acl = is_acl ? Acl::parse(value) : std::nullopt;
  admit(value.size() + kBlockBytes);
  const Time time = now();
  change([&](Transaction& transaction) {
    InodeRecord inode = transaction.inode(ino);
    if (is_acl) {
      if (S_ISLNK(inode.mode)) throw PosixError(EOPNOTSUPP);
      if (is_access) set_access_acl(transaction, ino, inode, acl, clear_setgid);
      if (!is_access) set_default_acl(transaction, ino, inode, acl);
    } else {
      const bool exists = find_xattr(transaction, ino, inode, name).has_value();
      if (exists && mode == XattrMode::kCreate) throw PosixError(EEXIST);
      if (!exists && mode == XattrMode::kReplace) throw PosixError(ENODATA);
      put_xattr(transaction, ino, inode, name, value);
    }
    inode.ctime = time;
    transaction.set_inode(ino, inode);
  });
}

std::optional<Bytes> AttachedVolume::get_xattr(Ino ino, std::string_view name) {
  check_xattr_name(name);
  return view([&](Transaction& transaction) -> std::optional<Bytes> {
    const InodeRecord inode = transaction.inode(ino);
    const std::optional<FoundXattr> found = find_xattr(transaction, ino, inode, name);
    if (!found) return std::nullopt;
    return blob_bytes(transaction, found->record.value);
  });
}

std::vector<std::string> AttachedVolume::list_xattrs(Ino ino) {
  return view([&](Transaction& transaction) {
    std::vector<std::string> names;
    const InodeRecord inode = transaction.inode(ino);
    if ((inode.flags & InodeFlags::kHasXattr) == 0) return names;
    scan_xattrs(transaction, ino, [&](const Key&, const XattrRecord& record) {
      names.push_back(record.name);
      return true;
    });
    return names;
  });
}

void AttachedVolume::remove_xattr(Ino ino, std::string_view name) {
  check_xattr_name(name);
  admit(0);
  const Time time = now();
  change([&](Transaction& transaction) {
    InodeRecord inode = transaction.inode(ino);
    if (!erase_xattr(transaction, ino, inode, name)) {
      // Taking away an ACL that is not there succeeds, as on other Linux file systems.
      if (name == kAccessAclName || name == kDefaultAclName) return;
      throw PosixError(ENODATA);
    }
    inode.ctime = time;
    transaction.set_inode(ino, inode);
  });
}

}  // namespace varve
