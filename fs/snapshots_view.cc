// SPDX-License-Identifier: Apache-2.0
#include "fs/snapshots_view.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fs/attached_volume.h"
#include "fs/forwarding_volume.h"
#include "store/base/error.h"
#include "store/base/mutex.h"

namespace varve {
namespace {

constexpr std::uint64_t kHere = 1ull << 63;
constexpr unsigned kInoBits = 40;
constexpr std::uint64_t kInoMask = (1ull << kInoBits) - 1;
constexpr std::uint64_t kMaxNode = (1ull << (63 - kInoBits)) - 1;
/// The directory of all; no snapshot has an inode 0.
constexpr Ino kDirectory{kHere};
/// Cookies 1 and 2 are the dots.
constexpr std::uint64_t kFirstCookie = 3;

bool is_here(Ino ino) { return (to_integer(ino) & kHere) != 0; }

NodeId node_of(Ino ino) { return NodeId{(to_integer(ino) & ~kHere) >> kInoBits}; }
Ino inside(Ino ino) { return Ino{to_integer(ino) & kInoMask}; }

Ino shown(NodeId node, Ino ino) {
  const auto number = static_cast<std::uint64_t>(node);
  if (number > kMaxNode || to_integer(ino) > kInoMask) throw PosixError(EOVERFLOW);
  return Ino{kHere | number << kInoBits | to_integer(ino)};
}

class SnapshotsView : public ForwardingVolume {
  using Base = ForwardingVolume;

 public:
  SnapshotsView(std::shared_ptr<Volume> volume, std::shared_ptr<SnapshotSource> source)
      : ForwardingVolume(std::move(volume)), source_(std::move(source)) {}

  std::optional<Attributes> lookup(Ino parent, std::string_view name) override {
    if (parent == kDirectory) return lookup_snapshot(name);
    if (is_here(parent)) {
      std::optional<Attributes> found = snapshot(parent)->lookup(inside(parent), name);
      if (found) found = shown_as(node_of(parent), *found);
      return found;
    }
    std::optional<Attributes> found = Base::lookup(parent, name);
    if (!found && parent == kRootIno && name == kSnapshotsName) return directory();
    return found;
  }
  void forget(Ino ino, std::uint64_t count) override {
    if (!is_here(ino)) return Base::forget(ino, count);
    if (ino == kDirectory) return;
    try {
      snapshot(ino)->forget(inside(ino), count);
    } catch (const PosixError&) {
      // The snapshot is gone, and what was counted with it.
    }
  }
  Attributes getattr(Ino ino) override {
    if (ino == kDirectory) return directory();
    if (!is_here(ino)) return Base::getattr(ino);
    return shown_as(node_of(ino), snapshot(ino)->getattr(inside(ino)));
  }
  Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) override {
    refuse_change(ino);
    return Base::setattr(ino, change, caller);
  }
  std::string readlink(Ino ino) override {
    return is_here(ino) ? snapshot(ino)->readlink(inside(ino)) : Base::readlink(ino);
  }

  Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                       const Caller& caller) override {
    refuse_change(parent);
    refuse_name(parent, name, EEXIST);
    return Base::make_node(parent, name, mode, rdev, caller);
  }
  Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                            const Caller& caller) override {
    refuse_change(parent);
    refuse_name(parent, name, EEXIST);
    return Base::make_directory(parent, name, mode, caller);
  }
  Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                          const Caller& caller) override {
    refuse_change(parent);
    refuse_name(parent, name, EEXIST);
    return Base::make_symlink(parent, name, target, caller);
  }
  Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) override {
    refuse_change(parent);
    return Base::make_temporary(parent, mode, caller);
  }
  Attributes link(Ino ino, Ino new_parent, std::string_view new_name) override {
    refuse_change(new_parent);
    if (is_here(ino)) throw PosixError(EXDEV);
    refuse_name(new_parent, new_name, EEXIST);
    return Base::link(ino, new_parent, new_name);
  }
  void unlink(Ino parent, std::string_view name) override {
    refuse_change(parent);
    refuse_name(parent, name, EPERM);
    Base::unlink(parent, name);
  }
  void rmdir(Ino parent, std::string_view name) override {
    refuse_change(parent);
    refuse_name(parent, name, EPERM);
    Base::rmdir(parent, name);
  }
  void rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
              RenameMode mode) override {
    refuse_change(parent);
    refuse_change(new_parent);
    refuse_name(parent, name, EPERM);
    refuse_name(new_parent, new_name, EPERM);
    Base::rename(parent, name, new_parent, new_name, mode);
  }

  void read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                      const std::function<bool(const DirectoryEntry&)>& visit) override {
    if (ino == kDirectory) return list_snapshots(cookie, visit);
    if (!is_here(ino)) return Base::read_directory(ino, cookie, with_attributes, visit);
    const NodeId node = node_of(ino);
    snapshot(ino)->read_directory(inside(ino), cookie, with_attributes,
                                  [&](const DirectoryEntry& entry) {
                                    DirectoryEntry here = entry;
                                    Attributes attributes;
                                    here.ino = shown(node, entry.ino);
                                    if (entry.attributes != nullptr) {
                                      attributes = shown_as(node, *entry.attributes);
                                      here.attributes = &attributes;
                                    }
                                    return visit(here);
                                  });
  }

  std::size_t read(Ino ino, std::uint64_t offset, std::span<std::byte> out) override {
    return is_here(ino) ? snapshot(ino)->read(inside(ino), offset, out)
                        : Base::read(ino, offset, out);
  }
  void write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) override {
    refuse_change(ino);
    Base::write(ino, offset, data, clear_setid);
  }
  void allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) override {
    refuse_change(ino);
    Base::allocate(ino, mode, offset, size);
  }
  std::uint64_t seek(Ino ino, std::uint64_t offset, SeekWhat what) override {
    return is_here(ino) ? snapshot(ino)->seek(inside(ino), offset, what)
                        : Base::seek(ino, offset, what);
  }
  /// The kernel copies by reading and writing after EXDEV.
  std::uint64_t copy_range(Ino from, std::uint64_t from_offset, Ino to, std::uint64_t to_offset,
                           std::uint64_t size) override {
    refuse_change(to);
    if (is_here(from)) throw PosixError(EXDEV);
    return Base::copy_range(from, from_offset, to, to_offset, size);
  }

  void fsync(Ino ino) override {
    if (!is_here(ino)) Base::fsync(ino);
  }

  void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                 bool clear_setgid) override {
    refuse_change(ino);
    Base::set_xattr(ino, name, value, mode, clear_setgid);
  }
  std::optional<Bytes> get_xattr(Ino ino, std::string_view name) override {
    if (ino == kDirectory) return std::nullopt;
    return is_here(ino) ? snapshot(ino)->get_xattr(inside(ino), name) : Base::get_xattr(ino, name);
  }
  std::vector<std::string> list_xattrs(Ino ino) override {
    if (ino == kDirectory) return {};
    return is_here(ino) ? snapshot(ino)->list_xattrs(inside(ino)) : Base::list_xattrs(ino);
  }
  void remove_xattr(Ino ino, std::string_view name) override {
    refuse_change(ino);
    Base::remove_xattr(ino, name);
  }

 private:
  /// Open for the call that asks for it, and longer if the source keeps it. EISDIR for the
  /// directory of all, which is none.
  std::shared_ptr<Volume> snapshot(Ino ino) {
    if (ino == kDirectory) throw PosixError(EISDIR);
    return source_->open(node_of(ino));
  }

  static void refuse_change(Ino ino) {
    if (is_here(ino)) throw PosixError(EROFS);
  }
  /// Nothing can be done to the name of the directory, unless the volume has a file there itself.
  void refuse_name(Ino parent, std::string_view name, int code) {
    if (parent != kRootIno || name != kSnapshotsName) return;
    const std::optional<Attributes> own = Base::lookup(parent, name);
    if (!own) throw PosixError(code);
    Base::forget(own->ino, 1);
  }

  /// Those that others may add or remove at any moment are looked up each time.
  static Attributes shown_as(NodeId node, Attributes attributes) {
    attributes.brief = attributes.ino == kRootIno;
    attributes.ino = shown(node, attributes.ino);
    return attributes;
  }

  std::optional<Attributes> lookup_snapshot(std::string_view name) {
    const std::vector<SnapshotSource::Entry> all = source_->list();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& entry) { return entry.name == name; });
    // Not "none": the kernel would remember that, and a snapshot may come.
    if (found == all.end()) throw PosixError(ENOENT);
    return getattr(shown(found->node, kRootIno));
  }

  /// The time of change moves with the list: by it the kernel knows a listing that it has cached.
  Attributes directory() {
    const std::vector<SnapshotSource::Entry> all = source_->list();
    Attributes out;
    out.ino = kDirectory;
    out.mode = S_IFDIR | 0555;
    out.nlink = static_cast<std::uint32_t>(2 + all.size());
    out.size = all.size();
    out.brief = true;
    std::vector<NodeId> nodes;
    nodes.reserve(all.size());
    for (const SnapshotSource::Entry& entry : all) nodes.push_back(entry.node);
    const MutexLock lock(mutex_);
    if (nodes != nodes_ || changed_ == Time{}) changed_ = system_time();
    nodes_ = std::move(nodes);
    out.atime = out.mtime = out.ctime = out.btime = changed_;
    return out;
  }

  void list_snapshots(std::uint64_t cookie,
                      const std::function<bool(const DirectoryEntry&)>& visit) {
    const auto hand_out = [&](std::string_view name, Ino ino, std::uint64_t next) {
      return next <= cookie || visit({name, ino, S_IFDIR, next, nullptr});
    };
    if (!hand_out(".", kDirectory, 1) || !hand_out("..", kRootIno, 2)) return;
    for (const SnapshotSource::Entry& entry : source_->list()) {
      const auto number = static_cast<std::uint64_t>(entry.node);
      if (number > kMaxNode) continue;
      if (!hand_out(entry.name, shown(entry.node, kRootIno), kFirstCookie + number)) return;
    }
  }

  const std::shared_ptr<SnapshotSource> source_;
  Mutex mutex_;
  std::vector<NodeId> nodes_ GUARDED_BY(mutex_);
  Time changed_ GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<Volume> with_snapshots(std::shared_ptr<Volume> volume,
                                       std::shared_ptr<SnapshotSource> source) {
  return std::make_shared<SnapshotsView>(std::move(volume), std::move(source));
}

}  // namespace varve
