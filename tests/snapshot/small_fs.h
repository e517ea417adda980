// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tests/snapshot/tree_support.h"

namespace varve::test {

/// Just enough of a file system to make trees for diffs: edits are collected, commit() applies
/// them. Names are absolute paths; parents must exist.
class SmallFs {
 public:
  SmallFs() {
    InodeRecord root = inode(0040755);
    root.btime = {1, 0};
    put(kRootIno, root);
    paths_["/"] = kRootIno;
    commit();
  }

  Ino make(const std::string& path, std::uint32_t mode, const std::string& content = "") {
    const Ino ino{next_ino_++};
    InodeRecord record = inode(mode);
    record.btime = {static_cast<std::int64_t>(to_integer(ino)) + born_, 0};
    record.content.value = bytes_of(content);
    record.size = content.size();
    records_[ino] = record;
    name(path, ino);
    put(ino, records_[ino]);
    return ino;
  }
  Ino directory(const std::string& path) { return make(path, 0040755); }
  Ino file(const std::string& path, const std::string& content = "") {
    return make(path, 0100644, content);
  }

  void link(const std::string& path, Ino ino) {
    InodeRecord& record = records_[ino];
    if ((record.flags & InodeFlags::kLinkrefs) == 0) {
      put_linkref(ino, {record.parent, record.name_cookie});
      record.flags |= InodeFlags::kLinkrefs;
      record.name_cookie = 0;
    }
    const auto [parent, entry] = split(path);
    put_linkref(ino, {parent, name_slot_base(entry)});
    put_dirent(path, ino);
    ++record.nlink;
    put(ino, record);
  }
  void unlink(const std::string& path) {
    const Ino ino = paths_.at(path);
    const auto [parent, entry] = split(path);
    edits_[{parent, Kind::kDirent, name_slot_base(entry)}] = std::nullopt;
    paths_.erase(path);
    InodeRecord& record = records_[ino];
    if (--record.nlink == 0) {
      edits_[{ino, Kind::kInode, 0}] = std::nullopt;
      edits_[{ino, Kind::kRegion, 0}] = std::nullopt;
      return;
    }
    edits_[{ino, Kind::kLinkref, slot_of(parent, entry)}] = std::nullopt;
    put(ino, record);
  }
  void rename(const std::string& from, const std::string& to) {
    const Ino ino = paths_.at(from);
    const auto [parent, entry] = split(from);
    edits_[{parent, Kind::kDirent, name_slot_base(entry)}] = std::nullopt;
    paths_.erase(from);
    name(to, ino);
    put(ino, records_[ino]);
  }
  InodeRecord& edit(Ino ino) { return records_[ino]; }
  void put(Ino ino, const InodeRecord& record) {
    records_[ino] = record;
    edits_[{ino, Kind::kInode, 0}] = record.encode();
  }
  void touch(Ino ino) {
    records_[ino].mtime.seconds += 100;
    put(ino, records_[ino]);
  }
  void write(Ino ino, const std::string& content) {
    records_[ino].content.value = bytes_of(content);
    records_[ino].size = content.size();
    touch(ino);
  }
  /// One object as the file's first region; the same content again is another birth.
  void write_region(Ino ino, const std::string& content) {
    regions_[ino] = content;
    records_[ino].size = content.size();
    touch(ino);
  }
  void set_xattr(Ino ino, const std::string& attribute, const std::string& value) {
    edits_[{ino, Kind::kXattr, name_slot_base(attribute)}] =
        XattrRecord{attribute, {bytes_of(value)}}.encode();
  }

  /// The tree with everything so far; older ones stay readable.
  Tree commit() {
    ++txg_;
    auto batch = world_.begin();
    for (const auto& [ino, content] : regions_) {
      const auto stored = batch->put(as_bytes(content), ObjectKind::kData);
      edits_[{ino, Kind::kRegion, 0}] = test::region_of(ptr_of(stored, txg_));
    }
    regions_.clear();
    world_.edit(edits_, txg_, txg_ - 1, std::move(batch));  // as if each commit were a snapshot
    edits_.clear();
    return world_.tree();
  }
  /// Goes on from `tree`, as a clone does, with the same inode numbers.
  void branch(const Tree& tree, std::uint64_t next_ino) {
    world_.root_ = tree.root();
    next_ino_ = next_ino;
    born_ += 100000;
  }
  std::uint64_t next_ino() const { return next_ino_; }
  TreeWorld& world() { return world_; }

 private:
  static InodeRecord inode(std::uint32_t mode) {
    InodeRecord record;
    record.mode = mode;
    record.nlink = 1;
    return record;
  }
  static std::uint64_t slot_of(Ino parent, const std::string& entry) {
    return name_slot_base(std::to_string(to_integer(parent)) + "/" + entry);
  }
  std::pair<Ino, std::string> split(const std::string& path) const {
    const std::size_t slash = path.rfind('/');
    return {paths_.at(slash == 0 ? "/" : path.substr(0, slash)), path.substr(slash + 1)};
  }
  void put_dirent(const std::string& path, Ino ino) {
    const auto [parent, entry] = split(path);
    edits_[{parent, Kind::kDirent, name_slot_base(entry)}] =
        DirentRecord{ino, records_[ino].mode & 0170000, entry}.encode();
    paths_[path] = ino;
  }
  void put_linkref(Ino ino, const LinkrefRecord& name) {
    for (const auto& [path, at] : paths_) {
      if (at != ino) continue;
      const auto [parent, entry] = split(path);
      if (parent == name.parent && name_slot_base(entry) == name.cookie) {
        edits_[{ino, Kind::kLinkref, slot_of(parent, entry)}] = name.encode();
        return;
      }
    }
    edits_[{ino, Kind::kLinkref, name.cookie}] = name.encode();
  }
  void name(const std::string& path, Ino ino) {
    const auto [parent, entry] = split(path);
    records_[ino].parent = parent;
    records_[ino].name_cookie = name_slot_base(entry);
    put_dirent(path, ino);
  }

  TreeWorld world_;
  Txg txg_ = 0;
  std::uint64_t next_ino_ = 2;
  std::int64_t born_ = 0;
  std::map<Ino, InodeRecord> records_;
  std::map<std::string, Ino> paths_;
  std::map<Ino, std::string> regions_;
  Edits edits_;
};

}  // namespace varve::test
