// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_wire.h"

#include <linux/fuse.h>

#include <cstring>

namespace varve {
namespace {

// Newer than many headers.
constexpr std::int32_t kNotifyResend = 7;
constexpr std::int32_t kNotifyIncEpoch = 8;
constexpr std::uint64_t kUniqueResend = 1ull << 63;

/// fuse_notify_inval_entry_out since protocol 7.38; before, the flags were padding and ignored.
struct ExpiredName {
  std::uint64_t parent;
  std::uint32_t name_bytes;
  std::uint32_t flags;
};
static_assert(sizeof(ExpiredName) == sizeof(fuse_notify_inval_entry_out));
constexpr std::uint32_t kExpireOnly = 1;

template <class T>
bool read_at(ByteView bytes, std::size_t offset, T& out) {
  if (bytes.size() < offset + sizeof out) return false;
  std::memcpy(&out, bytes.data() + offset, sizeof out);
  return true;
}

void append(Bytes& out, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  out.insert(out.end(), bytes, bytes + size);
}

Bytes notification(std::int32_t code, std::size_t payload_bytes) {
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + payload_bytes);
  header.error = code;  // a notification is a reply to request 0 with its code for an error
  Bytes out;
  out.reserve(header.len);
  append(out, &header, sizeof header);
  return out;
}

}  // namespace

WireRequest parse_wire(ByteView bytes, bool long_setxattr) {
  WireRequest request;
  fuse_in_header header{};
  if (!read_at(bytes, 0, header)) return request;
  request.known = true;
  request.opcode = header.opcode;
  request.unique = header.unique & ~kUniqueResend;
  request.comes_again = (header.unique & kUniqueResend) != 0;
  fuse_write_in write{};
  fuse_setxattr_in setxattr{};
  if (header.opcode == FUSE_WRITE && read_at(bytes, sizeof header, write)) {
    request.is_write = true;
    request.from_page_cache = (write.write_flags & FUSE_WRITE_CACHE) != 0;
    request.kills_setid = (write.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
  } else if (header.opcode == FUSE_SETXATTR && long_setxattr &&
             read_at(bytes, sizeof header, setxattr)) {
    request.acl_kills_setgid = (setxattr.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
  }
  return request;
}

Bytes notify_resend() { return notification(kNotifyResend, 0); }

Bytes notify_new_epoch() { return notification(kNotifyIncEpoch, 0); }

Bytes notify_invalid_inode(std::uint64_t ino) {
  fuse_notify_inval_inode_out payload{};
  payload.ino = ino;
  Bytes out = notification(FUSE_NOTIFY_INVAL_INODE, sizeof payload);
  append(out, &payload, sizeof payload);
  return out;
}

Bytes notify_expired_name(std::uint64_t parent, std::string_view name) {
  const ExpiredName payload{parent, static_cast<std::uint32_t>(name.size()), kExpireOnly};
  Bytes out = notification(FUSE_NOTIFY_INVAL_ENTRY, sizeof payload + name.size() + 1);
  append(out, &payload, sizeof payload);
  append(out, name.data(), name.size());
  out.push_back(std::byte{0});
  return out;
}

}  // namespace varve
