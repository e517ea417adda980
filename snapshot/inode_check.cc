// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <vector>

#include "snapshot/record.h"
#include "snapshot/tree_check.h"

namespace varve {
namespace {

/// Inode numbers of one pass over the tree, about 150 bytes each.
constexpr std::uint64_t kInodesPerPass = 500'000;
constexpr Key kBehindAllInodes{Ino{UINT64_MAX}, Kind::kLinkref, UINT64_MAX};

/// A name's place as a number that can be summed: equal sums mean equal sets, by all odds.
std::uint64_t place_number(Ino parent, std::uint64_t cookie) {
  std::uint64_t x = to_integer(parent) * 0x9E3779B97F4A7C15ull ^ cookie;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// What the records say about one inode.
struct Facts {
  bool present = false;
  bool orphan = false;
  bool has_records = false;  ///< besides the inode's own
  std::uint32_t mode = 0, nlink = 0, flags = 0;
  std::uint64_t size = 0, allocated = 0;
  Ino parent{};
  std::uint64_t cookie = 0;
  // by entries of directories that name it
  std::uint64_t names = 0, place_sum = 0;
  std::uint32_t entry_type = 0;
  bool types_differ = false;
  // by its own records
  std::uint64_t names_bytes = 0, subdirectories = 0;
  std::uint64_t linkrefs = 0, linkref_sum = 0;
  std::uint32_t attributes = 0;
  bool acl = false, capability = false;
};

class InodeCheck {
 public:
  InodeCheck(const Tree& tree, const TreeProblem& problem) : tree_(tree), problem_(problem) {}

  std::uint64_t run() {
    const std::optional<Bytes> head = tree_.find({kHeadIno, Kind::kHeadInfo, 0}, Wait::kAllowed);
    if (!head) {
      problem_(kHeadIno, "the head's counters are missing");
      return 0;
    }
    head_ = HeadInfoRecord::decode(*head);
    for (first_ = 0; first_ < head_.next_ino; first_ += kInodesPerPass) {
      facts_.clear();
      last_ = first_ + kInodesPerPass;
      read_tree();
      for (const auto& [ino, facts] : facts_) check(Ino{ino}, facts);
    }
    check_counters();
    return inodes_;
  }

 private:
  bool in_pass(Ino ino) const { return first_ <= to_integer(ino) && to_integer(ino) < last_; }
  Facts& facts_of(Ino ino) { return facts_[to_integer(ino)]; }

  void read_tree() {
    tree_.scan({}, kBehindAllInodes, Wait::kAllowed, [&](const Key& key, ByteView value) {
      read(key, value);
      return true;
    });
  }

  void read(const Key& key, ByteView value) {
    switch (key.kind) {
      case Kind::kHeadInfo:
        return;
      case Kind::kOrphan:
        if (in_pass(Ino{key.sub})) facts_of(Ino{key.sub}).orphan = true;
        return;
      case Kind::kInode:
        if (first_ == 0 && to_integer(key.ino) >= head_.next_ino) {
          problem_(key.ino, "its number is not below the next one");
        }
        if (in_pass(key.ino)) read_inode(facts_of(key.ino), InodeRecord::decode(value));
        return;
      case Kind::kDirent:
        return read_entry(key, DirentRecord::decode(value));
      case Kind::kXattr:
      case Kind::kRegion:
      case Kind::kLinkref:
        if (in_pass(key.ino)) read_other(facts_of(key.ino), key.kind, value);
        return;
    }
  }

  static void read_inode(Facts& facts, const InodeRecord& inode) {
    facts.present = true;
    facts.mode = inode.mode;
    facts.nlink = inode.nlink;
    facts.flags = inode.flags;
    facts.size = inode.size;
    facts.parent = inode.parent;
    facts.cookie = inode.name_cookie;
    facts.allocated = inode.allocated;
  }

  void read_entry(const Key& key, const DirentRecord& entry) {
    if (in_pass(key.ino)) {
      Facts& directory = facts_of(key.ino);
      directory.has_records = true;
      directory.names_bytes += entry.name.size();
      if (S_ISDIR(entry.type)) ++directory.subdirectories;
      const std::uint64_t base = name_slot_base(entry.name);
      if (key.sub < base || key.sub >= base + kNameSlots) {
        problem_(key.ino, "an entry is not in its slot");
      }
      check_name_once(key, entry.name, base);
    }
    if (!in_pass(entry.ino)) return;
    Facts& named = facts_of(entry.ino);
    named.types_differ |= named.names > 0 && named.entry_type != entry.type;
    named.entry_type = entry.type;
    ++named.names;
    named.place_sum += place_number(key.ino, key.sub);
  }

  /// Names with one hash are neighbours.
  void check_name_once(const Key& key, const std::string& name, std::uint64_t base) {
    if (run_directory_ != key.ino || run_base_ != base) run_names_.clear();
    run_directory_ = key.ino;
    run_base_ = base;
    if (std::find(run_names_.begin(), run_names_.end(), name) != run_names_.end()) {
      problem_(key.ino, "a name is there twice");
    }
    run_names_.push_back(name);
  }

  static void read_other(Facts& facts, Kind kind, ByteView value) {
    facts.has_records = true;
    if (kind == Kind::kXattr) {
      const std::string name = XattrRecord::decode(value).name;
      ++facts.attributes;
      facts.acl |= name == "system.posix_acl_access";
      facts.capability |= name == "security.capability";
    } else if (kind == Kind::kLinkref) {
      const LinkrefRecord linkref = LinkrefRecord::decode(value);
      ++facts.linkrefs;
      facts.linkref_sum += place_number(linkref.parent, linkref.cookie);
    }
  }

  void check(Ino ino, const Facts& facts) {
    if (!facts.present) {
      if (facts.names > 0) problem_(ino, "it has a name and is not there");
      if (facts.has_records) problem_(ino, "it has records and is not there");
      if (facts.orphan) problem_(ino, "it is an orphan and is not there");
      return;
    }
    ++inodes_;
    logical_bytes_ += facts.allocated;
    if (facts.names > 0 && (facts.types_differ || (facts.mode & S_IFMT) != facts.entry_type)) {
      problem_(ino, "its type is not what its entry says");
    }
    if ((facts.nlink == 0) != facts.orphan) {
      problem_(ino, facts.orphan ? "it has links and is an orphan" : "no link, and no orphan");
    }
    if (S_ISDIR(facts.mode)) {
      check_directory(ino, facts);
    } else {
      check_file(ino, facts);
    }
    check_flags(ino, facts);
  }

  void check_directory(Ino ino, const Facts& facts) {
    const bool removed = facts.nlink == 0;
    const std::uint64_t names = ino == kRootIno || removed ? 0 : 1;
    if (facts.names != names) {
      problem_(ino, "a directory with " + std::to_string(facts.names) + " names");
    }
    if (!removed && facts.nlink != 2 + facts.subdirectories) {
      problem_(ino, count_sentence(facts.nlink, 2 + facts.subdirectories));
    }
    if (facts.size != facts.names_bytes) problem_(ino, "the directory's size is wrong");
    if (names == 1 && facts.place_sum != place_number(facts.parent, facts.cookie)) {
      problem_(ino, "its parent is not where its name is");
    }
  }

  void check_file(Ino ino, const Facts& facts) {
    if (facts.nlink != facts.names) problem_(ino, count_sentence(facts.nlink, facts.names));
    if ((facts.flags & InodeFlags::kLinkrefs) != 0) {
      if (facts.linkrefs != facts.names || facts.linkref_sum != facts.place_sum) {
        problem_(ino, "its list of names is not what directories say");
      }
      return;
    }
    if (facts.linkrefs != 0) problem_(ino, "it has a list of names without the flag");
    if (facts.nlink > 0 && facts.place_sum != place_number(facts.parent, facts.cookie)) {
      problem_(ino, "its parent is not where its name is");
    }
  }

  void check_flags(Ino ino, const Facts& facts) {
    const auto flag = [&](std::uint32_t bit, bool expected, const char* what) {
      if (((facts.flags & bit) != 0) != expected) problem_(ino, what);
    };
    flag(InodeFlags::kHasXattr, facts.attributes > 0, "its flag of attributes is wrong");
    flag(InodeFlags::kHasAcl, facts.acl, "its flag of an ACL is wrong");
    flag(InodeFlags::kHasCaps, facts.capability, "its flag of capabilities is wrong");
  }

  void check_counters() {
    const auto counter = [&](const char* what, std::uint64_t says, std::uint64_t is) {
      if (says == is) return;
      problem_(kHeadIno, std::string("the counter of ") + what + " says " + std::to_string(says) +
                             ", there are " + std::to_string(is));
    };
    counter("inodes", head_.inodes, inodes_);
    counter("bytes", head_.logical_bytes, logical_bytes_);
  }

  static std::string count_sentence(std::uint64_t says, std::uint64_t is) {
    return "its link count is " + std::to_string(says) + " and should be " + std::to_string(is);
  }

  const Tree& tree_;
  const TreeProblem& problem_;
  HeadInfoRecord head_;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Facts> facts_;
  Ino run_directory_{};
  std::uint64_t run_base_ = 0;
  std::vector<std::string> run_names_;
  std::uint64_t inodes_ = 0;
  std::uint64_t logical_bytes_ = 0;
};

}  // namespace

std::uint64_t check_inodes(const Tree& tree, const TreeProblem& problem) {
  if (!tree.root()) return 0;
  return InodeCheck(tree, problem).run();
}

}  // namespace varve
