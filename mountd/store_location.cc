// SPDX-License-Identifier: Apache-2.0
#include "mountd/store_location.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "store/base/error.h"

namespace varve {
namespace {

namespace fs = boost::filesystem;

/// The variable's value; none if unset or empty.
std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

std::string data_directory() {
  if (const auto xdg = environment("XDG_DATA_HOME"); xdg && xdg->front() == '/') return *xdg;
  if (const auto home = environment("HOME"); home && home->front() == '/')
    return *home + "/.local/share";
  const passwd* entry = ::getpwuid(::geteuid());
  if (entry != nullptr && entry->pw_dir != nullptr && entry->pw_dir[0] == '/')
    return std::string(entry->pw_dir) + "/.local/share";
  throw UserError(ENOENT, "no home directory is known; choose a store with --store or VARVE_STORE");
}

}  // namespace

bool store_is_default(const std::optional<std::string>& given) {
  return !given && !environment("VARVE_STORE");
}

std::string store_location(const std::optional<std::string>& given) {
  std::string path;
  if (given) {
    if (given->empty())
      throw UserError(EINVAL, "--store is empty; give it the path of a directory");
    path = *given;
  } else if (const auto chosen = environment("VARVE_STORE")) {
    path = *chosen;
  } else if (::geteuid() == 0) {
    path = "/var/lib/varve";
  } else {
    path = data_directory() + "/varve";
  }
  if (path.find('\0') != std::string::npos)
    throw UserError(EINVAL, "the store's path holds a zero byte; choose another");
  boost::system::error_code error;
  fs::path full = fs::weakly_canonical(path, error);
  if (error) full = fs::absolute(path).lexically_normal();
  std::string text = full.string();
  while (text.size() > 1 && (text.ends_with('/') || text.ends_with("/."))) text.pop_back();
  return text;
}

void make_store_parent(const std::string& store, bool is_default) {
  const fs::path parent = fs::path(store).parent_path();
  boost::system::error_code error;
  if (fs::is_directory(parent, error)) return;
  if (!is_default)
    throw UserError(ENOENT, "store " + store + " cannot be made: there is no directory " +
                                parent.string() + "; make it first or choose another --store");
  fs::path so_far;
  for (const fs::path& part : parent) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), 0700) != 0 && errno != EEXIST && errno != EISDIR)
      throw_errno("make the directory " + so_far.string() + " for the store");
  }
}

std::string control_socket_path(const std::string& store) { return store + "/control.sock"; }
std::string daemon_log_path(const std::string& store) { return store + "/daemon.log"; }

}  // namespace varve
