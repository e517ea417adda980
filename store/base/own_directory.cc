// SPDX-License-Identifier: Apache-2.0
#include "store/base/own_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "store/base/error.h"

namespace varve {

void expect_own_directory(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    throw_errno(path + ": stat");
  }
  if (S_ISLNK(status.st_mode)) {
    throw UserError(EPERM, path +
                               " is a symbolic link; a store is not opened through links inside "
                               "it: put the directory itself there");
  }
  if (!S_ISDIR(status.st_mode)) throw UserError(ENOTDIR, path + " is not a directory");
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    throw UserError(EPERM, path + " belongs to user " + std::to_string(status.st_uid) +
                               ", who could change it while it is in use; run varve as that "
                               "user, or give the directory to yourself (chown)");
  }
  if ((status.st_mode & S_IWOTH) != 0) {
    throw UserError(EPERM, path +
                               " may be written to by everybody; take that away (chmod o-w) or "
                               "choose another directory");
  }
}

}  // namespace varve
