// SPDX-License-Identifier: Apache-2.0
#include "mountd/cli/exit_status.h"

#include <cerrno>

#include "mountd/control_error.h"

namespace varve::cli {
namespace {

struct Word {
  std::string_view word;
  ExitStatus status;
};

constexpr std::array kWords{
    Word{"not_found", kNotFound},
    Word{"exists", kConflict},
    Word{"busy", kConflict},
    Word{"invalid", kUsage},
    Word{"bad_request", kUsage},
    Word{"too_large", kUsage},
    Word{"permission_denied", kPermission},
    Word{"no_space", kNoSpace},
    Word{"damaged", kDamaged},
    Word{"read_only", kDamaged},
    Word{"unsupported", kUnsupported},
    Word{"unreachable", kUnreachable},
};

}  // namespace

ExitStatus status_of_word(std::string_view word) {
  for (const Word& entry : kWords)
    if (entry.word == word) return entry.status;
  return kFailure;
}

ExitStatus status_of_errno(int code) {
  switch (code) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT:
    case EPROTO:
      return kUnreachable;
    default:
      return status_of_word(error_word(code));
  }
}

}  // namespace varve::cli
