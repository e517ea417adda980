// SPDX-License-Identifier: Apache-2.0
#include "mountd/plugin/mount_users.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "store/base/error.h"
#include "store/base/own_directory.h"

namespace varve {
namespace {

/// What a line of a mount table says: "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ...".
struct TableLine {
  std::string device;
  std::string mount_point;
};

/// Calls `visit` for each line until it returns true; says whether it did.
template <class Visit>
bool any_mount(const std::string& table_path, const Visit& visit) {
  std::ifstream table(table_path);
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string id, parent, root;
    TableLine mount;
    words >> id >> parent >> mount.device >> root >> mount.mount_point;
    if (visit(mount)) return true;
  }
  return false;
}

/// "MAJOR:MINOR" of the topmost mount there; empty if there is none.
std::string device_at(const std::string& mount_point) {
  std::string device;
  any_mount("/proc/self/mountinfo", [&](const TableLine& mount) {
    if (mount.mount_point == mount_point) device = mount.device;
    return false;
  });
  return device;
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

void make_own_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    throw_errno("make the directory " + path);
  expect_own_directory(path);
}

}  // namespace

bool is_mounted_elsewhere(const std::string& mount_point) {
  const std::string device = device_at(mount_point);
  if (device.empty()) return false;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (!is_number(name)) continue;
    if (any_mount("/proc/" + name + "/mountinfo", [&](const TableLine& mount) {
          return mount.device == device && mount.mount_point != mount_point;
        }))
      return true;
  }
  return false;
}

void make_own_directories(const std::string& base, const std::string& path) {
  for (std::size_t at = base.size(); at != std::string::npos;) {
    at = path.find('/', at + 1);
    make_own_directory(path.substr(0, at));
  }
}

void remove_empty_directories(const std::string& base, const std::string& path) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored))
    ::rmdir(entry.path().c_str());
  for (std::string at = path; at.size() > base.size() && ::rmdir(at.c_str()) == 0;)
    at.resize(at.rfind('/'));
}

}  // namespace varve
