// SPDX-License-Identifier: Apache-2.0
#include "mountd/control_error.h"

#include <array>
#include <cerrno>

namespace varve {
namespace {

struct Class {
  int code;
  const char* word;
  int http;
};

constexpr std::array kClasses{
    Class{ENOENT, "not_found", 404},
    Class{EEXIST, "exists", 409},
    Class{EBUSY, "busy", 409},
    Class{ENOTEMPTY, "busy", 409},
    Class{EINVAL, "invalid", 400},
    Class{ENOTDIR, "invalid", 400},
    Class{ENAMETOOLONG, "invalid", 400},
    Class{ERANGE, "invalid", 400},
    Class{E2BIG, "invalid", 400},
    Class{EACCES, "permission_denied", 403},
    Class{EPERM, "permission_denied", 403},
    Class{ENOSPC, "no_space", 507},
    Class{EDQUOT, "no_space", 507},
    Class{EROFS, "read_only", 503},
    Class{EIO, "damaged", 500},
    Class{ENOTSUP, "unsupported", 501},
    Class{ENODEV, "unsupported", 501},
    Class{ENOSYS, "unsupported", 501},
};
constexpr Class kOther{0, "failed", 500};

const Class& class_of(int code) {
  for (const Class& entry : kClasses)
    if (entry.code == code) return entry;
  return kOther;
}

}  // namespace

const char* error_word(int code) { return class_of(code).word; }
int http_status(int code) { return class_of(code).http; }

}  // namespace varve
