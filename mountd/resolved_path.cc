// SPDX-License-Identifier: Apache-2.0
#include "mountd/resolved_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "store/base/error.h"

namespace varve {
namespace {

/// A directory reached without a single symbolic link.
Descriptor open_without_links(const std::string& path) {
  open_how how{};
  // No O_NOFOLLOW: it would allow a link in the last place, which O_DIRECTORY calls ENOTDIR.
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  Descriptor found(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (found) return found;
  const int error = errno;
  if (error == ELOOP)
    throw StoreError(error, path +
                                ": a symbolic link has taken the place of a directory; look "
                                "who may write there, and choose another directory");
  throw StoreError(error, path + ": " + errno_text(error));
}

/// Of the thread: it may have a table of descriptors of its own (run_with_own_descriptors), and
/// /proc/self shows the table of the first thread.
std::string through_proc(const Descriptor& directory) {
  return "/proc/thread-self/fd/" + std::to_string(directory.get());
}

}  // namespace

ResolvedPath ResolvedPath::directory(const std::string& path) {
  Descriptor held = open_without_links(path);
  std::string through = through_proc(held);
  return {std::move(held), std::move(through)};
}

ResolvedPath ResolvedPath::entry(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor held = open_without_links(parent);
  std::string through = through_proc(held) + "/" + path.substr(parent == "." ? 0 : slash + 1);
  return {std::move(held), std::move(through)};
}

}  // namespace varve
