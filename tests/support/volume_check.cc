// SPDX-License-Identifier: Apache-2.0
#include "tests/support/volume_check.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

namespace varve::test {
namespace {

class Checker {
 public:
  explicit Checker(const std::vector<std::pair<Key, Bytes>>& records) {
    for (const auto& [key, bytes] : records) load(key, bytes);
  }

  std::vector<std::string> run() {
    check_dirents();
    for (const auto& [ino, inode] : inodes_) check_inode(ino, inode);
    check_owners();
    check_head();
    return std::move(problems_);
  }

 private:
  using Place = std::pair<Ino, std::uint64_t>;

  void load(const Key& key, const Bytes& bytes) {
    switch (key.kind) {
      case Kind::kHeadInfo:
        head_ = HeadInfoRecord::decode(bytes);
        break;
      case Kind::kOrphan:
        orphans_.insert(Ino{key.sub});
        break;
      case Kind::kInode:
        inodes_[key.ino] = InodeRecord::decode(bytes);
        break;
      case Kind::kXattr:
        xattrs_[key.ino].push_back(XattrRecord::decode(bytes).name);
        owners_.insert(key.ino);
        break;
      case Kind::kDirent:
        dirents_[{key.ino, key.sub}] = DirentRecord::decode(bytes);
        owners_.insert(key.ino);
        break;
      case Kind::kRegion:
        RegionRecord::decode(bytes);
        owners_.insert(key.ino);
        break;
      case Kind::kLinkref: {
        const LinkrefRecord linkref = LinkrefRecord::decode(bytes);
        linkrefs_[key.ino].insert({linkref.parent, linkref.cookie});
        owners_.insert(key.ino);
        break;
      }
    }
  }

  void problem(Ino ino, const std::string& what) {
    problems_.push_back("inode " + std::to_string(to_integer(ino)) + ": " + what);
  }

  void check_dirents() {
    std::set<std::pair<Ino, std::string>> names;
    for (const auto& [place, entry] : dirents_) {
      const auto& [parent, cookie] = place;
      places_[entry.ino].insert(place);
      names_bytes_[parent] += entry.name.size();
      const std::uint64_t base = name_slot_base(entry.name);
      if (cookie < base || cookie >= base + kNameSlots) problem(parent, "misplaced " + entry.name);
      if (!names.insert({parent, entry.name}).second) problem(parent, "twice " + entry.name);
      const auto found = inodes_.find(entry.ino);
      if (found == inodes_.end()) {
        problem(entry.ino, "absent, but named " + entry.name);
      } else if ((found->second.mode & S_IFMT) != entry.type) {
        problem(entry.ino, "type is not what its entry says");
      } else if (S_ISDIR(entry.type)) {
        ++subdirectories_[parent];
      }
    }
  }

  void check_inode(Ino ino, const InodeRecord& inode) {
    const std::size_t names = places_[ino].size();
    if (S_ISDIR(inode.mode)) {
      check_directory(ino, inode, names);
    } else {
      if (inode.nlink != names) {
        problem(ino, std::to_string(inode.nlink) + " links, " + std::to_string(names) + " names");
      }
      check_places(ino, inode);
    }
    if ((inode.nlink == 0) != orphans_.contains(ino)) problem(ino, "orphan record");
    check_flags(ino, inode);
    logical_bytes_ += inode.allocated;
  }

  void check_directory(Ino ino, const InodeRecord& inode, std::size_t names) {
    const bool removed = inode.nlink == 0;
    if (names != (ino == kRootIno || removed ? 0u : 1u)) problem(ino, "names of a directory");
    if (!removed && inode.nlink != 2 + subdirectories_[ino]) problem(ino, "directory's link count");
    if (inode.size != names_bytes_[ino]) problem(ino, "directory's size");
    const Place place{inode.parent, inode.name_cookie};
    if (ino != kRootIno && !removed && !places_[ino].contains(place)) problem(ino, "parent");
    if (ino == kRootIno && inode.parent != kRootIno) problem(ino, "root's parent");
  }

  void check_places(Ino ino, const InodeRecord& inode) {
    if ((inode.flags & InodeFlags::kLinkrefs) != 0) {
      if (linkrefs_[ino] != places_[ino]) problem(ino, "linkrefs are not its names");
      return;
    }
    if (linkrefs_.contains(ino)) problem(ino, "linkrefs without the flag");
    std::set<Place> expected;
    if (inode.nlink > 0) expected.insert({inode.parent, inode.name_cookie});
    if (expected != places_[ino]) problem(ino, "parent is not its name");
  }

  void check_flags(Ino ino, const InodeRecord& inode) {
    const std::vector<std::string>& names = xattrs_[ino];
    const auto flag = [&](std::uint32_t bit, bool expected, const char* what) {
      if (((inode.flags & bit) != 0) != expected) problem(ino, what);
    };
    const auto has = [&](const char* name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    flag(InodeFlags::kHasXattr, !names.empty(), "flag of attributes");
    flag(InodeFlags::kHasAcl, has("system.posix_acl_access"), "flag of ACL");
    flag(InodeFlags::kHasCaps, has("security.capability"), "flag of capabilities");
  }

  void check_owners() {
    for (const Ino ino : owners_) {
      if (!inodes_.contains(ino)) problem(ino, "absent, but has records");
    }
    for (const Ino ino : orphans_) {
      if (!inodes_.contains(ino)) problem(ino, "absent, but an orphan");
    }
  }

  void check_head() {
    const auto counter = [&](const char* what, std::uint64_t says, std::uint64_t is) {
      if (says != is) {
        problem(kHeadIno,
                std::string(what) + " says " + std::to_string(says) + ", is " + std::to_string(is));
      }
    };
    counter("inodes", head_.inodes, inodes_.size());
    counter("logical bytes", head_.logical_bytes, logical_bytes_);
    if (!inodes_.empty() && to_integer(inodes_.rbegin()->first) >= head_.next_ino) {
      problem(kHeadIno, "next inode number is in use");
    }
  }

  HeadInfoRecord head_;
  std::map<Ino, InodeRecord> inodes_;
  std::map<Place, DirentRecord> dirents_;
  std::map<Ino, std::set<Place>> places_;
  std::map<Ino, std::set<Place>> linkrefs_;
  std::map<Ino, std::vector<std::string>> xattrs_;
  std::map<Ino, std::uint64_t> names_bytes_;
  std::map<Ino, std::uint32_t> subdirectories_;
  std::set<Ino> orphans_;
  std::set<Ino> owners_;
  std::uint64_t logical_bytes_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> problems_of(const std::vector<std::pair<Key, Bytes>>& records) {
  return Checker(records).run();
}

}  // namespace varve::test
