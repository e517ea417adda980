// SPDX-License-Identifier: Apache-2.0
#include "fs/volume_changes.h"

#include <optional>

#include "snapshot/diff.h"
#include "snapshot/record.h"

namespace varve {
namespace {

using NameVisitor = std::function<void(Ino, std::string_view)>;

void visit_dirent(const Tree& tree, Ino directory, std::uint64_t cookie, const NameVisitor& visit) {
  const std::optional<Bytes> found = tree.find({directory, Kind::kDirent, cookie}, Wait::kAllowed);
  if (found) visit(directory, DirentRecord::decode(*found).name);
}

/// The names of `ino` in `tree`; none for the root, and for what does not exist there.
void visit_names(const Tree& tree, Ino ino, const NameVisitor& visit) {
  const std::optional<Bytes> found = tree.find({ino, Kind::kInode, 0}, Wait::kAllowed);
  if (!found) return;
  const InodeRecord inode = InodeRecord::decode(*found);
  if ((inode.flags & InodeFlags::kLinkrefs) == 0) {
    if (inode.name_cookie != 0) visit_dirent(tree, inode.parent, inode.name_cookie, visit);
    return;
  }
  tree.scan({ino, Kind::kLinkref, 0}, {Ino{to_integer(ino) + 1}, Kind::kHeadInfo, 0},
            Wait::kAllowed, [&](const Key&, ByteView value) {
              const LinkrefRecord link = LinkrefRecord::decode(value);
              visit_dirent(tree, link.parent, link.cookie, visit);
              return true;
            });
}

/// Calls `visit` at the first differing record of each inode; records come inode by inode.
class EachInode {
 public:
  template <class Visit>
  void at(const Key& key, const Visit& visit) {
    if (key.ino == kHeadIno || key.ino == last_) return;
    last_ = key.ino;
    visit(key.ino);
  }

 private:
  Ino last_ = kHeadIno;
};

}  // namespace

void TreeChanges::each_name(const NameVisitor& visit) const {
  EachInode inodes;
  diff_records(
      before_->tree, after_->tree,
      [&](const Key& key, const std::optional<Bytes>& before, const std::optional<Bytes>& after) {
        inodes.at(key, [&](Ino ino) { visit_names(after_->tree, ino, visit); });
        if (key.kind != Kind::kDirent) return;
        if (before) visit(key.ino, DirentRecord::decode(*before).name);
        if (after) visit(key.ino, DirentRecord::decode(*after).name);
      });
}

void TreeChanges::each_inode(const std::function<void(Ino)>& visit) const {
  EachInode inodes;
  diff_records(before_->tree, after_->tree,
               [&](const Key& key, const std::optional<Bytes>&, const std::optional<Bytes>&) {
                 inodes.at(key, visit);
               });
}

}  // namespace varve
