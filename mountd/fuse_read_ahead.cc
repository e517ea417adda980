// SPDX-License-Identifier: Apache-2.0
#include "mountd/fuse_read_ahead.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "mountd/unix_socket.h"
#include "store/base/error.h"
#include "store/base/log.h"

namespace varve {
namespace {

constexpr char kReadAheadKib[] = "4096";

}  // namespace

void raise_read_ahead(std::uint64_t device) {
  const std::string path = "/sys/class/bdi/" + std::to_string(major(device)) + ":" +
                           std::to_string(minor(device)) + "/read_ahead_kb";
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file && ::write(file.get(), kReadAheadKib, sizeof kReadAheadKib - 1) > 0) return;
  log(LogLevel::kDebug, "fuse", path + ": " + errno_text(errno));
}

}  // namespace varve
