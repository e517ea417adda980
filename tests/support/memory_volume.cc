// SPDX-License-Identifier: Apache-2.0
#include "tests/support/memory_volume.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fs/acl.h"
#include "store/base/error.h"

namespace varve::test {
namespace {

[[noreturn]] void refuse(int code) { throw PosixError(code); }

void check_name(std::string_view name) {
  if (name.empty() || name.find('/') != name.npos || name.find('\0') != name.npos) refuse(EINVAL);
  if (name.size() > 255) refuse(ENAMETOOLONG);
}

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

bool is_acl(std::string_view name) { return name == kAccessAclName || name == kDefaultAclName; }

void check_xattr_name(std::string_view name) {
  if (name.empty() || name.size() > 255) refuse(ERANGE);
  if (is_acl(name)) return;
  for (const std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (name == prefix) refuse(EINVAL);
    if (name.starts_with(prefix)) return;
  }
  refuse(EOPNOTSUPP);
}

/// Calls `visit(page, offset in it, position in the range, count)` for each page of a range.
template <class Visit>
void each_page(std::uint64_t offset, std::uint64_t size, Visit&& visit) {
  for (std::uint64_t done = 0; done < size;) {
    const std::uint64_t at = offset + done;
    const std::uint64_t inside = at % SparseBytes::kPageBytes;
    const std::uint64_t count = std::min(size - done, SparseBytes::kPageBytes - inside);
    visit(at / SparseBytes::kPageBytes, inside, done, count);
    done += count;
  }
}

}  // namespace

void SparseBytes::write(std::uint64_t offset, ByteView data) {
  each_page(offset, data.size(),
            [&](std::uint64_t page, std::uint64_t inside, std::uint64_t at, std::uint64_t count) {
              std::memcpy(pages_.try_emplace(page).first->second.data() + inside, data.data() + at,
                          count);
            });
}

void SparseBytes::read(std::uint64_t offset, std::span<std::byte> out) const {
  each_page(offset, out.size(),
            [&](std::uint64_t page, std::uint64_t inside, std::uint64_t at, std::uint64_t count) {
              const auto found = pages_.find(page);
              if (found == pages_.end())
                std::memset(out.data() + at, 0, count);
              else
                std::memcpy(out.data() + at, found->second.data() + inside, count);
            });
}

void SparseBytes::zero(std::uint64_t offset, std::uint64_t size) {
  const std::uint64_t end = size > UINT64_MAX - offset ? UINT64_MAX : offset + size;
  for (auto at = pages_.lower_bound(offset / kPageBytes); at != pages_.end();) {
    const std::uint64_t begin = at->first * kPageBytes;
    if (begin >= end) return;
    const std::uint64_t from = std::max(offset, begin) - begin;
    const std::uint64_t to = std::min(end - begin, kPageBytes);
    if (to == kPageBytes && from == 0) {
      at = pages_.erase(at);
      continue;
    }
    std::fill(at->second.begin() + static_cast<std::ptrdiff_t>(from),
              at->second.begin() + static_cast<std::ptrdiff_t>(to), std::byte{0});
    ++at;
  }
}

MemoryVolume::MemoryVolume(std::function<Time()> clock) : clock_(std::move(clock)) {
  Inode& root = inodes_[kRootIno];
  Attributes& attributes = root.attributes;
  attributes.ino = kRootIno;
  attributes.mode = S_IFDIR | 0755;
  attributes.nlink = 2;
  attributes.atime = attributes.mtime = attributes.ctime = attributes.btime = clock_();
  root.parent = kRootIno;
}

void MemoryVolume::check_writable() const {
  if (read_only_) refuse(EROFS);
}

MemoryVolume::Inode& MemoryVolume::inode(Ino ino) {
  const auto found = inodes_.find(ino);
  if (found == inodes_.end()) refuse(ESTALE);
  return found->second;
}

MemoryVolume::Inode& MemoryVolume::directory(Ino ino) {
  Inode& out = inode(ino);
  if (!S_ISDIR(out.attributes.mode)) refuse(ENOTDIR);
  return out;
}

MemoryVolume::Inode& MemoryVolume::regular(Ino ino) {
  Inode& out = inode(ino);
  if (S_ISDIR(out.attributes.mode)) refuse(EISDIR);
  if (!S_ISREG(out.attributes.mode)) refuse(EINVAL);
  return out;
}

MemoryVolume::Inode& MemoryVolume::entry(Inode& directory, std::string_view name) {
  const auto found = directory.entries.find(std::string(name));
  if (found == directory.entries.end()) refuse(ENOENT);
  return inode(found->second);
}

std::optional<Attributes> MemoryVolume::lookup(Ino parent, std::string_view name) {
  check_name(name);
  Inode& in = directory(parent);
  Inode* out = nullptr;
  if (name == ".") {
    out = &in;
  } else if (name == "..") {
    out = &inode(in.parent);
  } else {
    const auto found = in.entries.find(std::string(name));
    if (found == in.entries.end()) return std::nullopt;
    out = &inode(found->second);
  }
  ++out->lookups;
  return out->attributes;
}

void MemoryVolume::forget(Ino ino, std::uint64_t count) {
  const auto found = inodes_.find(ino);
  if (found == inodes_.end()) return;
  found->second.lookups -= std::min(count, found->second.lookups);
  free_if_unused(found->second);
}

void MemoryVolume::drop_lookups() {
  for (const Ino ino : inodes()) forget(ino, lookups(ino));
}

Attributes MemoryVolume::getattr(Ino ino) { return inode(ino).attributes; }

void MemoryVolume::clear_setid(Inode& inode) {
  std::uint32_t& mode = inode.attributes.mode;
  if (S_ISDIR(mode)) return;
  mode &= ~04000u;
  if ((mode & 010) != 0) mode &= ~02000u;
}

/// Content changed.
void MemoryVolume::changed(Inode& inode, bool setid) {
  inode.attributes.mtime = inode.attributes.ctime = clock_();
  inode.xattrs.erase("security.capability");
  if (setid) clear_setid(inode);
}

void MemoryVolume::set_size(Inode& inode, std::uint64_t size) {
  if (size < inode.attributes.size) inode.data.zero(size, UINT64_MAX);
  inode.attributes.size = size;
}

Attributes MemoryVolume::setattr(Ino ino, const SetAttributes& change, const Caller&) {
  check_writable();
  const Time now = clock_();
  Inode& in = inode(ino);
  Attributes& attributes = in.attributes;
  if (change.size) {
    regular(ino);
    if (*change.size > kMaxFileBytes) refuse(EFBIG);
  }
  if (change.mode && S_ISLNK(attributes.mode)) refuse(EOPNOTSUPP);
  if (change.size) {
    set_size(in, *change.size);
    changed(in, change.clear_setid);
  } else if (change.clear_setid) {
    clear_setid(in);
  }
  if (change.uid) attributes.uid = *change.uid;
  if (change.gid) attributes.gid = *change.gid;
  if ((change.uid || change.gid) && !S_ISDIR(attributes.mode)) {
    in.xattrs.erase("security.capability");
    clear_setid(in);
  }
  if (change.mode) {
    attributes.mode = (attributes.mode & S_IFMT) | (*change.mode & 07777);
    if (const auto acl = in.xattrs.find(std::string(kAccessAclName)); acl != in.xattrs.end()) {
      Acl parsed = *Acl::parse(acl->second);
      parsed.change_mode(*change.mode);
      acl->second = parsed.serialize();
    }
  }
  const auto time_of = [&](const std::variant<SetAttributes::Now, Time>& time) {
    return std::holds_alternative<Time>(time) ? std::get<Time>(time) : now;
  };
  if (change.atime) attributes.atime = time_of(*change.atime);
  if (change.mtime) attributes.mtime = time_of(*change.mtime);
  attributes.ctime = change.ctime.value_or(now);
  return attributes;
}

std::string MemoryVolume::readlink(Ino ino) {
  const Inode& in = inode(ino);
  if (!S_ISLNK(in.attributes.mode)) refuse(EINVAL);
  return in.target;
}

MemoryVolume::Inode& MemoryVolume::new_name(Ino parent, std::string_view name) {
  Inode& in = directory(parent);
  if (in.attributes.nlink == 0) refuse(ENOENT);
  if (is_dot(name) || in.entries.contains(std::string(name))) refuse(EEXIST);
  return in;
}

MemoryVolume::Inode& MemoryVolume::make(Inode& parent, std::uint32_t mode, const Caller& caller) {
  const Ino ino{next_ino_++};
  Inode& out = inodes_[ino];
  Attributes& attributes = out.attributes;
  attributes.ino = ino;
  attributes.mode = mode;
  attributes.nlink = S_ISDIR(mode) ? 2 : 1;
  attributes.uid = caller.uid;
  attributes.gid = caller.gid;
  if ((parent.attributes.mode & 02000) != 0) {
    attributes.gid = parent.attributes.gid;
    if (S_ISDIR(mode)) attributes.mode |= 02000;
  }
  attributes.atime = attributes.mtime = attributes.ctime = attributes.btime = clock_();
  if (S_ISLNK(mode)) return out;
  const auto inherited = parent.xattrs.find(std::string(kDefaultAclName));
  if (inherited == parent.xattrs.end()) {
    attributes.mode &= ~(caller.umask & 0777);
    return out;
  }
  Acl acl = *Acl::parse(inherited->second);
  attributes.mode = acl.inherit(attributes.mode);
  if (!acl.is_mode_only()) out.xattrs[std::string(kAccessAclName)] = acl.serialize();
  if (S_ISDIR(mode)) out.xattrs[std::string(kDefaultAclName)] = inherited->second;
  return out;
}

void MemoryVolume::insert(Inode& parent, std::string_view name, Inode& inode) {
  parent.entries[std::string(name)] = inode.attributes.ino;
  parent.attributes.size += name.size();
  parent.attributes.mtime = parent.attributes.ctime = clock_();
  if (!S_ISDIR(inode.attributes.mode)) return;
  ++parent.attributes.nlink;
  inode.parent = parent.attributes.ino;
}

void MemoryVolume::erase(Inode& parent, std::string_view name) {
  const auto found = parent.entries.find(std::string(name));
  if (S_ISDIR(inode(found->second).attributes.mode)) --parent.attributes.nlink;
  parent.entries.erase(found);
  parent.attributes.size -= name.size();
  parent.attributes.mtime = parent.attributes.ctime = clock_();
}

void MemoryVolume::free_if_unused(Inode& inode) {
  if (inode.attributes.nlink == 0 && inode.lookups == 0) inodes_.erase(inode.attributes.ino);
}

/// The inode lost one name.
void MemoryVolume::drop(Inode& inode) {
  Attributes& attributes = inode.attributes;
  attributes.nlink = S_ISDIR(attributes.mode) ? 0 : attributes.nlink - 1;
  attributes.ctime = clock_();
  free_if_unused(inode);
}

Attributes MemoryVolume::make_named(Ino parent, std::string_view name, std::uint32_t mode,
                                    std::uint64_t rdev, std::string_view target,
                                    const Caller& caller) {
  check_name(name);
  check_writable();
  Inode& in = new_name(parent, name);
  Inode& out = make(in, mode, caller);
  out.attributes.rdev = rdev;
  out.target = target;
  out.attributes.size = target.size();
  insert(in, name, out);
  ++out.lookups;
  return out.attributes;
}

Attributes MemoryVolume::make_node(Ino parent, std::string_view name, std::uint32_t mode,
                                   std::uint64_t rdev, const Caller& caller) {
  mode &= S_IFMT | 07777;
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  if (S_ISDIR(mode)) refuse(EPERM);
  if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode) && !S_ISCHR(mode) && !S_ISBLK(mode)) {
    refuse(EINVAL);
  }
  if (!S_ISCHR(mode) && !S_ISBLK(mode)) rdev = 0;
  return make_named(parent, name, mode, rdev, {}, caller);
}

Attributes MemoryVolume::make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                                        const Caller& caller) {
  return make_named(parent, name, S_IFDIR | (mode & 07777), 0, {}, caller);
}

Attributes MemoryVolume::make_symlink(Ino parent, std::string_view name, std::string_view target,
                                      const Caller& caller) {
  if (target.empty()) refuse(ENOENT);
  if (target.size() > 4095) refuse(ENAMETOOLONG);
  return make_named(parent, name, S_IFLNK | 0777, 0, target, caller);
}

Attributes MemoryVolume::make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) {
  check_writable();
  Inode& in = directory(parent);
  if (in.attributes.nlink == 0) refuse(ENOENT);
  Inode& out = make(in, S_IFREG | (mode & 07777), caller);
  out.attributes.nlink = 0;
  ++out.lookups;
  return out.attributes;
}

Attributes MemoryVolume::link(Ino ino, Ino new_parent, std::string_view new_name_) {
  check_name(new_name_);
  check_writable();
  Inode& out = inode(ino);
  Inode& in = new_name(new_parent, new_name_);
  if (S_ISDIR(out.attributes.mode)) refuse(EPERM);
  insert(in, new_name_, out);
  ++out.attributes.nlink;
  out.attributes.ctime = clock_();
  ++out.lookups;
  return out.attributes;
}

void MemoryVolume::unlink(Ino parent, std::string_view name) {
  check_name(name);
  if (is_dot(name)) refuse(EISDIR);
  check_writable();
  Inode& in = directory(parent);
  Inode& out = entry(in, name);
  if (S_ISDIR(out.attributes.mode)) refuse(EISDIR);
  erase(in, name);
  drop(out);
}

void MemoryVolume::rmdir(Ino parent, std::string_view name) {
  check_name(name);
  if (name == ".") refuse(EINVAL);
  if (name == "..") refuse(ENOTEMPTY);
  check_writable();
  Inode& in = directory(parent);
  Inode& out = entry(in, name);
  if (!S_ISDIR(out.attributes.mode)) refuse(ENOTDIR);
  if (!out.entries.empty()) refuse(ENOTEMPTY);
  erase(in, name);
  drop(out);
}

bool MemoryVolume::is_within(Ino ino, Ino ancestor) {
  for (; ino != ancestor; ino = inode(ino).parent) {
    if (ino == kRootIno) return false;
  }
  return true;
}

void MemoryVolume::rename(Ino parent, std::string_view name, Ino new_parent,
                          std::string_view new_name_, RenameMode mode) {
  check_name(name);
  check_name(new_name_);
  if (is_dot(name)) refuse(EBUSY);
  if (is_dot(new_name_)) refuse(mode == RenameMode::kNoReplace ? EEXIST : EBUSY);
  check_writable();
  const bool exchange = mode == RenameMode::kExchange;
  Inode& from = directory(parent);
  Inode& to = directory(new_parent);
  Inode& source = entry(from, name);
  const auto found = to.entries.find(std::string(new_name_));
  Inode* const target = found == to.entries.end() ? nullptr : &inode(found->second);
  if (target != nullptr && mode == RenameMode::kNoReplace) refuse(EEXIST);
  if (target == nullptr && exchange) refuse(ENOENT);
  const bool source_dir = S_ISDIR(source.attributes.mode);
  const bool target_dir = target != nullptr && S_ISDIR(target->attributes.mode);
  if (parent != new_parent) {
    if (source_dir && is_within(new_parent, source.attributes.ino)) refuse(EINVAL);
    if (target_dir && is_within(parent, target->attributes.ino)) {
      refuse(exchange ? EINVAL : ENOTEMPTY);
    }
  }
  if (target == &source) return;
  if (to.attributes.nlink == 0) refuse(ENOENT);
  if (target != nullptr && !exchange) {
    if (source_dir && !target_dir) refuse(ENOTDIR);
    if (!source_dir && target_dir) refuse(EISDIR);
    if (target_dir && !target->entries.empty()) refuse(ENOTEMPTY);
  }
  source.attributes.ctime = clock_();
  erase(from, name);
  if (target != nullptr) erase(to, new_name_);
  insert(to, new_name_, source);
  if (target == nullptr) return;
  if (exchange) {
    target->attributes.ctime = clock_();
    insert(from, name, *target);
  } else {
    drop(*target);
  }
}

void MemoryVolume::read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                                  const std::function<bool(const DirectoryEntry&)>& visit) {
  const Inode in = directory(ino);
  std::uint64_t position = 0;
  const auto show = [&](std::string_view name, Ino shown, bool dot) {
    if (++position <= cookie) return true;
    if (dot) return visit({name, shown, S_IFDIR, position, nullptr});
    Inode& entry = inode(shown);
    const std::uint32_t type = entry.attributes.mode & S_IFMT;
    if (!with_attributes) return visit({name, shown, type, position, nullptr});
    const Attributes attributes = entry.attributes;
    if (!visit({name, shown, type, position, &attributes})) return false;
    ++entry.lookups;
    return true;
  };
  if (!show(".", ino, true) || !show("..", in.parent, true)) return;
  for (const auto& [name, shown] : in.entries) {
    if (!show(name, shown, false)) return;
  }
}

std::size_t MemoryVolume::read(Ino ino, std::uint64_t offset, std::span<std::byte> out) {
  const Inode& in = regular(ino);
  if (offset >= in.attributes.size) return 0;
  const std::size_t count = std::min<std::uint64_t>(out.size(), in.attributes.size - offset);
  in.data.read(offset, out.first(count));
  return count;
}

void MemoryVolume::write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) {
  if (offset > kMaxFileBytes || data.size() > kMaxFileBytes - offset) refuse(EFBIG);
  if (data.empty()) return;
  check_writable();
  Inode& in = regular(ino);
  in.data.write(offset, data);
  in.attributes.size = std::max(in.attributes.size, offset + data.size());
  changed(in, clear_setid);
}

void MemoryVolume::allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) {
  if (size == 0) refuse(EINVAL);
  if (offset > kMaxFileBytes || size > kMaxFileBytes - offset) refuse(EFBIG);
  check_writable();
  Inode& in = regular(ino);
  if (mode != AllocateMode::kExtend && mode != AllocateMode::kKeepSize) in.data.zero(offset, size);
  if (mode == AllocateMode::kExtend || mode == AllocateMode::kZeroRange) {
    in.attributes.size = std::max(in.attributes.size, offset + size);
  }
  changed(in, true);
}

std::uint64_t MemoryVolume::seek(Ino ino, std::uint64_t offset, SeekWhat what) {
  const Inode& in = regular(ino);
  if (offset >= in.attributes.size) refuse(ENXIO);
  return what == SeekWhat::kData ? offset : in.attributes.size;
}

std::uint64_t MemoryVolume::copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                       std::uint64_t to_offset, std::uint64_t size) {
  check_writable();
  Inode& target = regular(to);
  const Inode& source = regular(from);
  if (from_offset >= source.attributes.size) return 0;
  size = std::min(size, source.attributes.size - from_offset);
  if (to_offset > kMaxFileBytes || size > kMaxFileBytes - to_offset) refuse(EFBIG);
  if (from == to && from_offset < to_offset + size && to_offset < from_offset + size) {
    refuse(EINVAL);
  }
  if (size == 0) return 0;
  Bytes buffer(size);
  source.data.read(from_offset, buffer);
  target.data.write(to_offset, buffer);
  target.attributes.size = std::max(target.attributes.size, to_offset + size);
  changed(target, true);
  return size;
}

void MemoryVolume::set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                             bool clear_setgid) {
  check_xattr_name(name);
  if (value.size() > kMaxXattrBytes) refuse(E2BIG);
  const std::optional<Acl> acl = is_acl(name) ? Acl::parse(value) : std::nullopt;
  check_writable();
  Inode& in = inode(ino);
  const std::string key(name);
  if (is_acl(name)) {
    const bool access = name == kAccessAclName;
    if (S_ISLNK(in.attributes.mode)) refuse(EOPNOTSUPP);
    if (acl && !access && !S_ISDIR(in.attributes.mode)) refuse(EACCES);
    if (acl && access) {
      in.attributes.mode = (in.attributes.mode & ~0777u) | acl->permission_bits();
      if (clear_setgid) in.attributes.mode &= ~02000u;
    }
    if (acl && !(access && acl->is_mode_only()))
      in.xattrs[key] = acl->serialize();
    else
      in.xattrs.erase(key);
  } else {
    const bool exists = in.xattrs.contains(key);
    if (exists && mode == XattrMode::kCreate) refuse(EEXIST);
    if (!exists && mode == XattrMode::kReplace) refuse(ENODATA);
    in.xattrs[key] = Bytes(value.begin(), value.end());
  }
  in.attributes.ctime = clock_();
}

std::optional<Bytes> MemoryVolume::get_xattr(Ino ino, std::string_view name) {
  check_xattr_name(name);
  const Inode& in = inode(ino);
  const auto found = in.xattrs.find(std::string(name));
  if (found == in.xattrs.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> MemoryVolume::list_xattrs(Ino ino) {
  std::vector<std::string> out;
  for (const auto& [name, value] : inode(ino).xattrs) out.push_back(name);
  return out;
}

void MemoryVolume::remove_xattr(Ino ino, std::string_view name) {
  check_xattr_name(name);
  check_writable();
  Inode& in = inode(ino);
  if (in.xattrs.erase(std::string(name)) == 0) {
    if (is_acl(name)) return;
    refuse(ENODATA);
  }
  in.attributes.ctime = clock_();
}

std::vector<Ino> MemoryVolume::inodes() const {
  std::vector<Ino> out;
  for (const auto& [ino, in] : inodes_) out.push_back(ino);
  return out;
}

std::uint64_t MemoryVolume::lookups(Ino ino) const {
  const auto found = inodes_.find(ino);
  return found == inodes_.end() ? 0 : found->second.lookups;
}

}  // namespace varve::test
