// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_xattr.h"

#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <variant>

#include "mountd/fuse_answer.h"
#include "store/base/error.h"

namespace varve::fuse {
namespace {

bool without_xattrs(fuse_req_t request, RequestType type) {
  if (!begin(request, type).options.noxattr) return false;
  fuse_reply_err(request, ENOSYS);
  return true;
}

/// An ACL that nobody checks must not look as if it were in force.
void check_acl_allowed(fuse_req_t request, const char* name) {
  constexpr const char* kPrefix = "system.posix_acl_";
  if (std::strncmp(name, kPrefix, std::strlen(kPrefix)) == 0 && !connection_of(request).acl)
    throw PosixError(EOPNOTSUPP);
}

bool clears_setgid(fuse_req_t request, const char* name) {
  if (std::strcmp(name, "system.posix_acl_access") != 0) return false;
  if (!over_uring(request) && connection_of(request).long_setxattr)
    return FuseTraffic::wire_request().acl_kills_setgid;
  return fuse_req_ctx(request)->uid != 0;
}

using Value = std::variant<Data, ValueSize, Refused>;

/// `size` 0 asks for the size.
Value value_reply(ByteView value, std::size_t size) {
  if (size == 0) return ValueSize{value.size()};
  if (value.size() > size) return Refused{ERANGE};
  return Data{value};
}

/// What to say when the attribute is not there. `ls -l` asks each file for its SELinux label, and
/// asks no more when it hears that this file system has none.
int absent_code(const char* name) {
  return std::strcmp(name, "security.selinux") == 0 ? EOPNOTSUPP : ENODATA;
}

}  // namespace

void setxattr(fuse_req_t request, fuse_ino_t ino, const char* name, const char* value,
              std::size_t size, int flags) {
  if (without_xattrs(request, RequestType::kSetxattr)) return;
  answer_done(request, [&](Volume& volume) {
    check_acl_allowed(request, name);
    if (flags != 0 && flags != XATTR_CREATE && flags != XATTR_REPLACE) throw PosixError(EINVAL);
    const XattrMode mode = flags == XATTR_CREATE    ? XattrMode::kCreate
                           : flags == XATTR_REPLACE ? XattrMode::kReplace
                                                    : XattrMode::kAny;
    volume.set_xattr(Ino{ino}, name, as_bytes({value, size}), mode, clears_setgid(request, name));
  });
}

void getxattr(fuse_req_t request, fuse_ino_t ino, const char* name, std::size_t size) {
  if (without_xattrs(request, RequestType::kGetxattr)) return;
  std::optional<Bytes> value;
  answer(request, [&]() -> Value {
    check_acl_allowed(request, name);
    value = volume_of(request).get_xattr(Ino{ino}, name);
    if (!value) return Refused{absent_code(name)};
    return value_reply(*value, size);
  });
}

void listxattr(fuse_req_t request, fuse_ino_t ino, std::size_t size) {
  if (without_xattrs(request, RequestType::kListxattr)) return;
  std::string list;
  answer(request, [&]() -> Value {
    for (const std::string& name : volume_of(request).list_xattrs(Ino{ino}))
      list.append(name.c_str(), name.size() + 1);
    return value_reply(as_bytes(list), size);
  });
}

void removexattr(fuse_req_t request, fuse_ino_t ino, const char* name) {
  if (without_xattrs(request, RequestType::kRemovexattr)) return;
  answer_done(request, [&](Volume& volume) {
    check_acl_allowed(request, name);
    volume.remove_xattr(Ino{ino}, name);
  });
}

}  // namespace varve::fuse
