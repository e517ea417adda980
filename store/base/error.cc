// SPDX-License-Identifier: Apache-2.0
#include "store/base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace varve {

PosixError::PosixError(int code) : Error(code, errno_text(code)) {}

CorruptionError::CorruptionError(const std::string& what) : StoreError(EIO, what) {}

std::string errno_text(int code) { return std::generic_category().message(code); }

void throw_errno(const std::string& what) {
  const int code = errno;
  throw StoreError(code, what + ": " + errno_text(code));
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "varve: broken invariant: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace varve
