// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "snapshot/diff.h"
#include "snapshot/path_finder.h"
#include "snapshot/record.h"
#include "store/digest.h"

namespace varve {
namespace {

constexpr std::uint32_t kFileTypeMask = 0170000;
constexpr std::uint32_t kDirectory = 0040000;

using What = PathChange::What;

// ---- comparing what users see, whatever the births ---------------------------------------------

Digest digest_of_blob(const Blob& blob) {
  return blob.is_inline() ? digest_of(blob.bytes()) : blob.ptr().digest;
}

bool same_bytes(const Blob& a, const Blob& b) {
  if (a.is_inline() && b.is_inline()) return a.bytes() == b.bytes();
  return a.size() == b.size() && digest_of_blob(a) == digest_of_blob(b);
}

/// Where the bytes of one block come from.
struct BlockSource {
  std::optional<Digest> object;  ///< none: a hole
  bool of_base = false;
  friend bool operator==(const BlockSource&, const BlockSource&) = default;
};

BlockSource source_of(const std::optional<RegionRecord>& region, std::size_t block) {
  if (!region || (region->holes >> block & 1) != 0) return {};
  if (region->blocks[block]) return {region->blocks[block]->digest, false};
  if (region->base && region->base->data_bytes > block * kBlockBytes) {
    return {region->base->digest, true};
  }
  return {};
}

std::optional<RegionRecord> region_of(const std::optional<Bytes>& bytes) {
  if (!bytes) return std::nullopt;
  return RegionRecord::decode(*bytes);
}

bool same_region(const std::optional<Bytes>& before, const std::optional<Bytes>& after) {
  const std::optional<RegionRecord> a = region_of(before);
  const std::optional<RegionRecord> b = region_of(after);
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if (source_of(a, i) != source_of(b, i)) return false;
  }
  return true;
}

bool same_xattr(const std::optional<Bytes>& before, const std::optional<Bytes>& after) {
  if (!before || !after) return false;
  const XattrRecord a = XattrRecord::decode(*before);
  const XattrRecord b = XattrRecord::decode(*after);
  return a.name == b.name && same_bytes(a.value, b.value);
}

bool is_directory(const InodeRecord& inode) { return (inode.mode & kFileTypeMask) == kDirectory; }

bool same_content(const InodeRecord& a, const InodeRecord& b) {
  if (is_directory(a) && is_directory(b)) return true;
  return a.size == b.size && a.rdev == b.rdev && same_bytes(a.content, b.content);
}

bool same_metadata(const InodeRecord& a, const InodeRecord& b) {
  return a.mode == b.mode && a.uid == b.uid && a.gid == b.gid;
}

/// Branches of a family number their new files alike: the time of birth tells them apart.
bool same_file(const InodeRecord& a, const InodeRecord& b) {
  return (a.mode & kFileTypeMask) == (b.mode & kFileTypeMask) && a.btime == b.btime;
}

/// The records of one kind of one inode.
std::map<std::uint64_t, Bytes> records_of(const Tree& tree, Ino ino, Kind kind) {
  std::map<std::uint64_t, Bytes> out;
  const Key last{ino, static_cast<Kind>(static_cast<std::uint8_t>(kind) + 1), 0};
  tree.scan({ino, kind, 0}, last, Wait::kAllowed, [&](const Key& key, ByteView value) {
    out.emplace(key.sub, Bytes(value.begin(), value.end()));
    return true;
  });
  return out;
}

template <class Same>
bool same_records(const Tree& before, Ino before_ino, const Tree& after, Ino after_ino, Kind kind,
                  Same same) {
  auto a = records_of(before, before_ino, kind);
  auto b = records_of(after, after_ino, kind);
  for (const auto& [sub, bytes] : a) {
    const auto found = b.find(sub);
    if (!same(bytes, found == b.end() ? std::nullopt : std::optional(found->second))) return false;
    if (found != b.end()) b.erase(found);
  }
  return std::all_of(b.begin(), b.end(),
                     [&](const auto& left) { return same(std::nullopt, left.second); });
}

// ---- collecting --------------------------------------------------------------------------------

struct EntryName {
  Ino parent{};
  std::string name;
  std::uint32_t type = 0;
};

/// All that differs about one inode number.
struct InodeChange {
  std::optional<Bytes> before;  ///< inode records, when both trees have one and they differ
  std::optional<Bytes> after;
  bool came_or_went = false;  ///< only one tree has a record
  bool data = false;
  bool xattrs = false;
  std::vector<EntryName> removed;
  std::vector<EntryName> added;
};

class PathDiff {
 public:
  PathDiff(const Tree& before, const Tree& after) : before_(before), after_(after) {}

  std::vector<PathChange> run();

 private:
  void collect(const Key& key, const std::optional<Bytes>& before,
               const std::optional<Bytes>& after);
  void collect_dirent(Ino parent, const std::optional<Bytes>& before,
                      const std::optional<Bytes>& after);
  void report(Ino ino, const InodeChange& change);
  void report_one_file(Ino ino, const InodeChange& change, const InodeRecord& before,
                       const InodeRecord& after);
  std::string unchanged_path(Ino ino, const InodeRecord& inode, const std::set<std::string>& added);
  void report_removed(Ino ino, const InodeChange& change);
  void report_added(Ino ino, const InodeChange& change);
  std::set<std::string> paths(PathFinder& finder, const std::vector<EntryName>& names);
  void put(What what, const std::string& path, Ino ino, std::uint32_t type) {
    out_.push_back({what, path, "", ino, type, false, false});
  }
  void sort();
  void join_replaced();
  std::optional<PathChange> replaced(const PathChange& removed, const PathChange& added);

  PathFinder before_;
  PathFinder after_;
  std::map<Ino, InodeChange> changes_;
  std::vector<PathChange> out_;
};

void PathDiff::collect(const Key& key, const std::optional<Bytes>& before,
                       const std::optional<Bytes>& after) {
  switch (key.kind) {
    case Kind::kInode: {
      InodeChange& change = changes_[key.ino];
      change.came_or_went = !before || !after;
      if (change.came_or_went) return;
      change.before = before;
      change.after = after;
      return;
    }
    case Kind::kXattr:
      if (!same_xattr(before, after)) changes_[key.ino].xattrs = true;
      return;
    case Kind::kRegion:
      if (!same_region(before, after)) changes_[key.ino].data = true;
      return;
    case Kind::kDirent:
      return collect_dirent(key.ino, before, after);
    case Kind::kHeadInfo:
    case Kind::kOrphan:
    case Kind::kLinkref:
      return;
  }
}

void PathDiff::collect_dirent(Ino parent, const std::optional<Bytes>& before,
                              const std::optional<Bytes>& after) {
  if (before) {
    const DirentRecord entry = DirentRecord::decode(*before);
    changes_[entry.ino].removed.push_back({parent, entry.name, entry.type});
  }
  if (after) {
    const DirentRecord entry = DirentRecord::decode(*after);
    changes_[entry.ino].added.push_back({parent, entry.name, entry.type});
  }
}

// ---- reporting ---------------------------------------------------------------------------------

std::set<std::string> PathDiff::paths(PathFinder& finder, const std::vector<EntryName>& names) {
  std::set<std::string> out;
  for (const EntryName& entry : names) {
    std::string path = finder.path(entry.parent, entry.name);
    if (!path.empty()) out.insert(std::move(path));
  }
  return out;
}

void PathDiff::report_removed(Ino ino, const InodeChange& change) {
  for (const std::string& path : paths(before_, change.removed)) {
    put(What::kRemoved, path, ino, change.removed.front().type);
  }
}

void PathDiff::report_added(Ino ino, const InodeChange& change) {
  for (const std::string& path : paths(after_, change.added)) {
    put(What::kAdded, path, ino, change.added.front().type);
  }
}

void PathDiff::report(Ino ino, const InodeChange& change) {
  std::optional<InodeRecord> before;
  std::optional<InodeRecord> after;
  if (change.before && change.after) {
    before = InodeRecord::decode(*change.before);
    after = InodeRecord::decode(*change.after);
  } else if (!change.came_or_went) {
    before = after = after_.inode(ino);
  }
  if (before && after && same_file(*before, *after)) {
    report_one_file(ino, change, *before, *after);
  } else {
    report_removed(ino, change);
    report_added(ino, change);
  }
}

/// The smallest path that the file had before as well; empty if there is none.
std::string PathDiff::unchanged_path(Ino ino, const InodeRecord& inode,
                                     const std::set<std::string>& added) {
  if (ino == kRootIno) return "/";
  for (const NamePlace& place : after_.names(ino, inode)) {
    std::string path = after_.path(place);
    if (!path.empty() && !added.contains(path)) return path;
  }
  return {};
}

/// A file that both trees have: names that went are paired with names that came.
void PathDiff::report_one_file(Ino ino, const InodeChange& change, const InodeRecord& before,
                               const InodeRecord& after) {
  const std::uint32_t type = after.mode & kFileTypeMask;
  std::set<std::string> removed = paths(before_, change.removed);
  std::set<std::string> added = paths(after_, change.added);
  // An entry that only moved to another slot is no change.
  std::erase_if(removed, [&](const std::string& path) { return added.erase(path) > 0; });
  const std::size_t first = out_.size();
  while (!removed.empty() && !added.empty()) {
    const std::string old_path = removed.extract(removed.begin()).value();
    const std::string path = added.extract(added.begin()).value();
    out_.push_back({What::kRenamed, path, old_path, ino, type, false, false});
  }
  const bool content = !same_content(before, after) || (change.data && !is_directory(after));
  const bool metadata = !same_metadata(before, after) || change.xattrs;
  for (const std::string& path : removed) put(What::kRemoved, path, ino, type);
  for (const std::string& path : added) put(What::kAdded, path, ino, type);
  if (!content && !metadata) return;

  if (out_.size() == first || out_[first].what != What::kRenamed) {
    const std::string path = unchanged_path(ino, after, added);
    if (path.empty()) return;  // every name is new or gone, and reported as such
    out_.insert(out_.begin() + static_cast<std::ptrdiff_t>(first),
                {What::kModified, path, "", ino, type, false, false});
  }
  out_[first].content = content;
  out_[first].metadata = metadata;
}

void PathDiff::sort() {
  const auto rank = [](What what) {
    switch (what) {
      case What::kRemoved:
        return 0;
      case What::kRenamed:
        return 1;
      case What::kAdded:
        return 2;
      case What::kModified:
        return 3;
    }
    return 4;
  };
  std::sort(out_.begin(), out_.end(), [&](const PathChange& a, const PathChange& b) {
    return std::pair(a.path, rank(a.what)) < std::pair(b.path, rank(b.what));
  });
}

/// A path whose file went and whose new file is of the same type was replaced, as editors do it:
/// to a user that is a modification.
std::optional<PathChange> PathDiff::replaced(const PathChange& removed, const PathChange& added) {
  const std::optional<InodeRecord> before = before_.inode(removed.ino);
  const std::optional<InodeRecord> after = after_.inode(added.ino);
  if (!before || !after) return added;
  PathChange out = added;
  out.what = What::kModified;
  out.content =
      !same_content(*before, *after) || !same_records(before_.tree(), removed.ino, after_.tree(),
                                                      added.ino, Kind::kRegion, same_region);
  out.metadata =
      !same_metadata(*before, *after) || !same_records(before_.tree(), removed.ino, after_.tree(),
                                                       added.ino, Kind::kXattr, same_xattr);
  if (!out.content && !out.metadata) return std::nullopt;
  return out;
}

void PathDiff::join_replaced() {
  std::vector<PathChange> joined;
  joined.reserve(out_.size());
  for (PathChange& change : out_) {
    const bool replaces = !joined.empty() && joined.back().what == What::kRemoved &&
                          change.what == What::kAdded && joined.back().path == change.path &&
                          joined.back().type == change.type;
    if (!replaces) {
      joined.push_back(std::move(change));
      continue;
    }
    const PathChange removed = std::move(joined.back());
    joined.pop_back();
    if (std::optional<PathChange> one = replaced(removed, change)) joined.push_back(*one);
  }
  out_ = std::move(joined);
}

std::vector<PathChange> PathDiff::run() {
  diff_records(before_.tree(), after_.tree(),
               [&](const Key& key, const std::optional<Bytes>& before,
                   const std::optional<Bytes>& after) { collect(key, before, after); });
  for (const auto& [ino, change] : changes_) report(ino, change);
  sort();
  join_replaced();
  return std::move(out_);
}

}  // namespace

std::vector<PathChange> diff_paths(const Tree& before, const Tree& after) {
  return PathDiff(before, after).run();
}

std::string path_of(const Tree& tree, Ino ino) { return PathFinder(tree).path(ino); }

}  // namespace varve
