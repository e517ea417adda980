// SPDX-License-Identifier: Apache-2.0
#include "snapshot/path_finder.h"

#include <algorithm>

namespace varve {

std::optional<InodeRecord> PathFinder::inode(Ino ino) const {
  const std::optional<Bytes> bytes = tree_.find({ino, Kind::kInode, 0}, Wait::kAllowed);
  if (!bytes) return std::nullopt;
  return InodeRecord::decode(*bytes);
}

std::vector<NamePlace> PathFinder::names(Ino ino, const InodeRecord& inode) const {
  std::vector<NamePlace> out;
  if (ino == kRootIno) return out;
  if ((inode.flags & InodeFlags::kLinkrefs) == 0) {
    if (inode.name_cookie != 0) out.push_back({inode.parent, inode.name_cookie});
    return out;
  }
  tree_.scan({ino, Kind::kLinkref, 0}, {Ino{to_integer(ino) + 1}, Kind::kHeadInfo, 0},
             Wait::kAllowed, [&](const Key&, ByteView value) {
               const LinkrefRecord name = LinkrefRecord::decode(value);
               out.push_back({name.parent, name.cookie});
               return true;
             });
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<std::string> PathFinder::entry_name(const NamePlace& place) const {
  const auto bytes = tree_.find({place.parent, Kind::kDirent, place.cookie}, Wait::kAllowed);
  if (!bytes) return std::nullopt;
  return DirentRecord::decode(*bytes).name;
}

/// Climbs to the root or to a directory that is known, then remembers all on the way.
std::optional<std::string> PathFinder::directory_path(Ino ino) {
  std::vector<std::pair<Ino, std::string>> climbed;
  std::optional<std::string> path;
  while (ino != kRootIno) {
    const auto [known, is_new] = directories_.try_emplace(ino);  // none also ends a cycle
    if (!is_new) {
      path = known->second;
      break;
    }
    const std::optional<InodeRecord> record = inode(ino);
    const auto name =
        record ? entry_name({record->parent, record->name_cookie}) : std::optional<std::string>();
    if (!name) {
      climbed.clear();
      return std::nullopt;
    }
    climbed.emplace_back(ino, *name);
    ino = record->parent;
  }
  if (ino == kRootIno) path = "";
  if (!path) return std::nullopt;
  for (auto at = climbed.rbegin(); at != climbed.rend(); ++at) {
    *path += "/" + at->second;
    directories_[at->first] = path;
  }
  return path;
}

std::string PathFinder::path(Ino parent, const std::string& name) {
  const std::optional<std::string> directory = directory_path(parent);
  return directory ? *directory + "/" + name : std::string();
}

std::string PathFinder::path(const NamePlace& place) {
  const std::optional<std::string> name = entry_name(place);
  return name ? path(place.parent, *name) : std::string();
}

std::string PathFinder::path(Ino ino) {
  if (ino == kRootIno) return "/";
  const std::optional<InodeRecord> record = inode(ino);
  if (!record) return {};
  for (const NamePlace& place : names(ino, *record)) {
    std::string found = path(place);
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace varve
