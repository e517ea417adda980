// SPDX-License-Identifier: Apache-2.0
#include "snapshot/damage.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "snapshot/path_finder.h"
#include "snapshot/record.h"
#include "store/base/error.h"

namespace varve {
namespace {

using Harm = DamagedFile::What;
using LostRange = DamagedFile::Range;

/// A size that is cut to what the file has.
constexpr std::uint64_t kToTheEnd = INT64_MAX;
constexpr Key kLastOfKeys{Ino{UINT64_MAX}, Kind::kLinkref, UINT64_MAX};

/// What one tree has lost.
struct Losses {
  struct Content {
    Ino ino{};
    std::optional<LostRange> range;
  };
  /// Records from `first` up to `last` are in a node that cannot be read.
  struct Gap {
    Key first;
    Key last;
    /// Whether the record of the inode, an attribute or an entry of it may be lost; not for
    /// regions.
    bool holds(Ino ino) const {
      const bool begins = first.ino < ino || (first.ino == ino && first.kind < Kind::kRegion);
      return begins && (ino < last.ino || (ino == last.ino && last.kind > Kind::kInode));
    }
  };
  std::vector<Content> contents;
  std::vector<Gap> gaps;
};

/// Where in its file the object `ptr` of region `key` shows.
void add_region(const Key& key, const RegionRecord& record, const std::set<Digest>& bad,
                Losses& losses) {
  const std::uint64_t begin = key.sub * kRegionBytes;
  for (std::size_t i = 0; i < kBlocksPerRegion; ++i) {
    if ((record.holes >> i & 1) != 0) continue;
    const std::optional<Ptr>& ptr = record.blocks[i] ? record.blocks[i] : record.base;
    if (!ptr || !bad.contains(ptr->digest)) continue;
    // Bytes behind the object's end are zeros, which no damage takes.
    const std::uint64_t before = record.blocks[i] ? 0 : i * kBlockBytes;
    if (ptr->data_bytes <= before) continue;
    const std::uint64_t size = std::min<std::uint64_t>(kBlockBytes, ptr->data_bytes - before);
    losses.contents.push_back({key.ino, LostRange{begin + i * kBlockBytes, size}});
  }
}

/// Walks trees and remembers the subtrees in which nothing is damaged.
class LossFinder {
 public:
  LossFinder(NodeCache& cache, const std::set<Digest>& bad) : cache_(cache), bad_(bad) {}

  Losses losses_of(const std::optional<Ptr>& root) {
    Losses out;
    if (root) walk(*root, {}, kLastOfKeys, out);
    return out;
  }

  /// Calls `visit` with every directory entry that can be read.
  void visit_dirents(const std::optional<Ptr>& root,
                     const std::function<void(Ino parent, const DirentRecord&)>& visit) {
    if (!root) return;
    const auto node = read(root->digest);
    if (!node) return;
    for (std::size_t i = 0; i < node->count(); ++i) {
      if (!node->is_leaf()) {
        visit_dirents(node->child(i), visit);
      } else if (node->key(i).kind == Kind::kDirent) {
        visit(node->key(i).ino, DirentRecord::decode(node->value(i)));
      }
    }
  }

 private:
  std::shared_ptr<const Node> read(const Digest& digest) {
    if (bad_.contains(digest)) return nullptr;
    try {
      return cache_.read(digest, Wait::kAllowed);
    } catch (const CorruptionError&) {
      return nullptr;
    }
  }

  /// The node's keys lie in [first, last].
  void walk(const Ptr& ptr, const Key& first, const Key& last, Losses& out) {
    if (clean_.contains(ptr.digest)) return;
    const std::size_t before = out.contents.size() + out.gaps.size();
    const std::shared_ptr<const Node> node = read(ptr.digest);
    if (!node) {
      out.gaps.push_back({first, last});
      if (first.kind == Kind::kRegion) add_lost_regions(first, last, out);
      return;
    }
    for (std::size_t i = 0; i < node->count(); ++i) {
      if (node->is_leaf()) {
        look_at(node->key(i), node->value(i), out);
      } else {
        const bool is_last = i + 1 == node->count();
        walk(node->child(i), node->key(i), is_last ? last : node->key(i + 1), out);
      }
    }
    if (out.contents.size() + out.gaps.size() == before) clean_.insert(ptr.digest);
  }

  /// Of the file in whose middle a gap begins. Where it ends behind the file, nobody knows its
  /// size.
  static void add_lost_regions(const Key& first, const Key& last, Losses& out) {
    const std::uint64_t begin = first.sub * kRegionBytes;
    const bool ends_inside = last.ino == first.ino && last.kind == Kind::kRegion;
    out.contents.push_back(
        {first.ino, LostRange{begin, ends_inside ? last.sub * kRegionBytes - begin : kToTheEnd}});
  }

  void look_at(const Key& key, ByteView value, Losses& out) const {
    if (!may_hold_pointers(key.kind)) return;
    if (key.kind == Kind::kRegion) {
      add_region(key, RegionRecord::decode(value), bad_, out);
      return;
    }
    visit_pointers(key.kind, value, [&](const Ptr& ptr) {
      if (bad_.contains(ptr.digest)) out.contents.push_back({key.ino, std::nullopt});
    });
  }

  NodeCache& cache_;
  const std::set<Digest>& bad_;
  std::unordered_set<Digest> clean_;
};

/// The files of one tree, by path, inode number and kind of damage, with their ranges.
using TreeFiles = std::map<std::tuple<std::string, Ino, Harm>, std::vector<LostRange>>;

std::string readable_path(PathFinder& paths, Ino ino) {
  try {
    return paths.path(ino);
  } catch (const CorruptionError&) {
    return {};
  }
}

std::string readable_path(PathFinder& paths, Ino parent, const std::string& name) {
  try {
    return paths.path(parent, name);
  } catch (const CorruptionError&) {
    return {};
  }
}

/// Files whose records lie in a node that is lost are found by the entries that name them.
void add_gaps(LossFinder& finder, const Tree& tree, PathFinder& paths, const Losses& losses,
              TreeFiles& out) {
  std::vector<bool> named(losses.gaps.size());
  finder.visit_dirents(tree.root(), [&](Ino parent, const DirentRecord& entry) {
    for (std::size_t i = 0; i < losses.gaps.size(); ++i) {
      if (!losses.gaps[i].holds(entry.ino)) continue;
      named[i] = true;
      out[{readable_path(paths, parent, entry.name), entry.ino, Harm::kMetadata}];
    }
  });
  for (std::size_t i = 0; i < losses.gaps.size(); ++i) {
    if (losses.gaps[i].holds(kRootIno)) {
      out[{"/", kRootIno, Harm::kMetadata}];
    } else if (!named[i]) {
      out[{"", losses.gaps[i].first.ino, Harm::kMetadata}];
    }
  }
}

std::uint64_t size_of(PathFinder& paths, Ino ino) {
  try {
    const std::optional<InodeRecord> inode = paths.inode(ino);
    return inode ? inode->size : kToTheEnd;
  } catch (const CorruptionError&) {
    return kToTheEnd;
  }
}

void cut(std::vector<LostRange>& ranges, std::uint64_t size) {
  for (LostRange& range : ranges) range.size = std::min(range.size, size - range.offset);
}

TreeFiles files_of(LossFinder& finder, const Tree& tree) {
  TreeFiles out;
  const Losses losses = finder.losses_of(tree.root());
  PathFinder paths(tree);
  for (const Losses::Content& content : losses.contents) {
    std::vector<LostRange>& ranges =
        out[{readable_path(paths, content.ino), content.ino, Harm::kContent}];
    if (!content.range || content.range->offset >= size_of(paths, content.ino)) continue;
    if (!ranges.empty() && ranges.back().offset + ranges.back().size == content.range->offset) {
      ranges.back().size += content.range->size;
    } else {
      ranges.push_back(*content.range);
    }
  }
  for (auto& [key, ranges] : out) cut(ranges, size_of(paths, std::get<Ino>(key)));
  if (!losses.gaps.empty()) add_gaps(finder, tree, paths, losses, out);
  return out;
}

/// Puts the same file of several trees of a volume together.
class Report {
 public:
  void add(const VolumeRow& volume, const std::string& snapshot, const TreeFiles& files) {
    for (const auto& [key, ranges] : files) {
      const auto& [path, ino, what] = key;
      DamagedFile& file = files_[{volume.id, path, ino, what}];
      file.volume = volume.name;
      file.trashed = volume.trashed_ns != 0;
      file.path = path;
      file.ino = ino;
      file.what = what;
      if (snapshot.empty()) {
        file.in_present = true;
      } else {
        file.snapshots.push_back(snapshot);
      }
      for (const LostRange& range : ranges) {
        if (std::find(file.ranges.begin(), file.ranges.end(), range) == file.ranges.end()) {
          file.ranges.push_back(range);
        }
      }
    }
  }

  std::vector<DamagedFile> take() {
    std::vector<DamagedFile> out;
    for (auto& [key, file] : files_) {
      std::sort(file.ranges.begin(), file.ranges.end());
      out.push_back(std::move(file));
    }
    std::stable_sort(out.begin(), out.end(), [](const DamagedFile& a, const DamagedFile& b) {
      return std::tie(a.volume, a.path) < std::tie(b.volume, b.path);
    });
    return out;
  }

 private:
  std::map<std::tuple<VolumeId, std::string, Ino, Harm>, DamagedFile> files_;
};

}  // namespace

std::vector<DamagedFile> find_damaged_files(const std::vector<NamedTree>& trees, NodeCache& cache,
                                            const std::set<Digest>& bad) {
  LossFinder finder(cache, bad);
  Report report;
  for (const NamedTree& tree : trees) {
    report.add(tree.volume, tree.snapshot, files_of(finder, Tree(cache, tree.root)));
  }
  return report.take();
}

}  // namespace varve
