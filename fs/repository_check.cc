// SPDX-License-Identifier: Apache-2.0
// Looking for damage: scrub in the background, the files it concerns, the check of everything.
#include <cerrno>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "fs/fsck.h"
#include "fs/repository_impl.h"
#include "snapshot/tree_check.h"
#include "store/base/error.h"
#include "store/digest_range.h"

namespace varve {
namespace {

/// Distinct objects of which one pass keeps the count, about 60 bytes each.
constexpr std::uint64_t kCountsPerPass = 4'000'000;

std::string tree_name(const NamedTree& tree) {
  return tree.snapshot.empty() ? tree.volume.name : tree.volume.name + "@" + tree.snapshot;
}

/// Checks forms and inodes of trees, each different one once.
class TreesCheck {
 public:
  TreesCheck(NodeCache& cache, FsckReport& report) : cache_(cache), form_(cache), report_(report) {}

  void check(const NamedTree& named) {
    if (!named.root || !seen_.insert(named.root->digest).second) return;
    const std::uint64_t before = report_.problem_count;
    const TreeProblem problem = [&](Ino ino, const std::string& sentence) {
      std::string where = tree_name(named);
      if (ino != kHeadIno) where += ", inode " + std::to_string(to_integer(ino));
      report_.add(where + ": " + sentence);
    };
    form_.check(named.root, problem);
    ++report_.trees;
    if (report_.problem_count != before) {
      damaged_ = true;
      return;
    }
    try {
      report_.inodes += check_inodes(Tree(cache_, named.root), problem);
    } catch (const CorruptionError& error) {
      damaged_ = true;
      report_.add(tree_name(named) + ": " + error.what());
    }
  }

  /// True if some tree could not be read in whole.
  bool damaged() const { return damaged_; }
  std::uint64_t nodes() const { return form_.nodes(); }

 private:
  NodeCache& cache_;
  TreeForm form_;
  FsckReport& report_;
  std::unordered_set<Digest> seen_;
  bool damaged_ = false;
};

/// Compares the index's counts with a recount from the trees.
void compare_references(Store& store, const Catalog& catalog, FsckReport& report) {
  const std::uint64_t passes = DigestRange::passes_for(store.figures().objects, kCountsPerPass);
  for (std::uint64_t pass = 0; pass < passes; ++pass) {
    const DigestRange range(pass, passes);
    std::unordered_map<Digest, std::uint64_t> counted;
    catalog.count_births([&](const Digest& digest) {
      if (range.contains(digest)) ++counted[digest];
    });
    const auto differ = [&](const Digest& digest, std::uint64_t says, std::uint64_t is) {
      report.add("object " + digest.hex() + ": the index counts " + std::to_string(says) +
                 " references, the trees have " + std::to_string(is));
    };
    store.visit_references([&](const Digest& digest, std::uint64_t says) {
      if (!range.contains(digest)) return;
      const auto found = counted.find(digest);
      const std::uint64_t is = found == counted.end() ? 0 : found->second;
      if (says != is) differ(digest, says, is);
      if (found != counted.end()) counted.erase(found);
    });
    for (const auto& [digest, is] : counted) differ(digest, 0, is);
  }
}

}  // namespace

// ---- scrub -------------------------------------------------------------------------------------

void RepositoryImpl::start_scrub(std::uint64_t rate_bytes) { scrubber_.start(rate_bytes); }

void RepositoryImpl::stop_scrub() { scrubber_.stop(); }

ScrubProgress RepositoryImpl::scrub_progress() { return scrubber_.progress(); }

std::vector<NamedTree> RepositoryImpl::named_trees() {
  std::vector<NamedTree> out;
  const MutexLock lock(rows_mutex_);
  for (const bool trashed : {false, true}) {
    for (const VolumeRow& volume : catalog_->volumes(trashed)) {
      for (const SnapshotRow& snapshot : catalog_->snapshots(volume.id)) {
        out.push_back({volume, snapshot.name, catalog_->node(snapshot.node).root});
      }
      out.push_back({volume, {}, catalog_->node(volume.head).root});
    }
  }
  return out;
}

std::vector<DamagedFile> RepositoryImpl::damaged_files() {
  std::set<Digest> bad;
  for (const Digest& digest : store_->check().damaged()) {
    if (store_->check().check(digest) == ObjectHealth::kBad) bad.insert(digest);
  }
  if (bad.empty()) return {};
  const std::unique_ptr<ReadPin> pin = store_->pin();
  return find_damaged_files(named_trees(), cache_, bad);
}

// ---- what a removal frees ----------------------------------------------------------------------

RemovalSpace RepositoryImpl::removal_space(const std::vector<std::string>& references) {
  std::vector<SnapshotRow> rows;
  std::set<NodeId> named;
  for (const std::string& reference : references) {
    const SnapshotRow row = find_snapshot(reference);
    if (named.insert(row.node).second) rows.push_back(row);
  }
  return catalog_->removal_space(rows);
}

// ---- the check of everything -------------------------------------------------------------------

FsckReport RepositoryImpl::fsck() {
  const MutexLock admin(admin_mutex_);
  FsckReport report;
  for (const FileFinding& finding : store_->check_files()) {
    if (finding.mended) {
      report.mended.push_back(finding.what);
    } else {
      report.add(finding.what);
    }
  }
  for (const std::string& problem : catalog_->problems()) report.add(problem);
  TreesCheck trees(cache_, report);
  for (const NamedTree& tree : named_trees()) trees.check(tree);
  report.nodes = trees.nodes();
  report.objects =
      store_->check().compare_index([&](const std::string& problem) { report.add(problem); });
  if (trees.damaged()) {
    report.add(
        "the counts were not compared, because trees are damaged; 'varve scrub' repairs "
        "what can be and names the files");
  } else {
    compare_references(*store_, *catalog_, report);
  }
  return report;
}

FsckReport check_store(Disk& disk, const std::string& path, const RepositoryOptions& options,
                       bool repair) {
  const auto check = [&] {
    const auto repository = Repository::open(disk, path, false, options);
    FsckReport report = repository->fsck();
    repository->close();
    return report;
  };
  FsckReport report = check();
  if (!repair || report.problem_count == 0) return report;
  Store::mark_index(disk, path);
  FsckReport after = check();
  // What is right now was wrong.
  const std::set<std::string> left(after.problems.begin(), after.problems.end());
  after.mended.insert(after.mended.begin(), report.mended.begin(), report.mended.end());
  for (const std::string& problem : report.problems) {
    if (!left.contains(problem)) after.mended.push_back(problem);
  }
  return after;
}

}  // namespace varve
