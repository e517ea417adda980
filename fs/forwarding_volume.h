// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/volume.h"

namespace varve {

/// Hands every operation on to another volume, which it owns a share of: the base of those that
/// show a volume in another way and say only what is different. As safe to share between threads
/// as that volume.
class ForwardingVolume : public Volume {
 public:
  explicit ForwardingVolume(std::shared_ptr<Volume> volume) : volume_(std::move(volume)) {}

  std::optional<Attributes> lookup(Ino parent, std::string_view name) override {
    return volume_->lookup(parent, name);
  }
  void forget(Ino ino, std::uint64_t count) override { volume_->forget(ino, count); }
  Attributes getattr(Ino ino) override { return volume_->getattr(ino); }
  Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) override {
    return volume_->setattr(ino, change, caller);
  }
  std::string readlink(Ino ino) override { return volume_->readlink(ino); }

  Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                       const Caller& caller) override {
    return volume_->make_node(parent, name, mode, rdev, caller);
  }
  Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                            const Caller& caller) override {
    return volume_->make_directory(parent, name, mode, caller);
  }
  Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                          const Caller& caller) override {
    return volume_->make_symlink(parent, name, target, caller);
  }
  Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) override {
    return volume_->make_temporary(parent, mode, caller);
  }
  Attributes link(Ino ino, Ino new_parent, std::string_view new_name) override {
    return volume_->link(ino, new_parent, new_name);
  }
  void unlink(Ino parent, std::string_view name) override { volume_->unlink(parent, name); }
  void rmdir(Ino parent, std::string_view name) override { volume_->rmdir(parent, name); }
  void rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
              RenameMode mode) override {
    volume_->rename(parent, name, new_parent, new_name, mode);
  }

  void read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                      const std::function<bool(const DirectoryEntry&)>& visit) override {
    volume_->read_directory(ino, cookie, with_attributes, visit);
  }

  std::size_t read(Ino ino, std::uint64_t offset, std::span<std::byte> out) override {
    return volume_->read(ino, offset, out);
  }
  void write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) override {
    volume_->write(ino, offset, data, clear_setid);
  }
  void allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) override {
    volume_->allocate(ino, mode, offset, size);
  }
  std::uint64_t seek(Ino ino, std::uint64_t offset, SeekWhat what) override {
    return volume_->seek(ino, offset, what);
  }
  std::uint64_t copy_range(Ino from, std::uint64_t from_offset, Ino to, std::uint64_t to_offset,
                           std::uint64_t size) override {
    return volume_->copy_range(from, from_offset, to, to_offset, size);
  }

  void fsync(Ino ino) override { volume_->fsync(ino); }
  void sync() override { volume_->sync(); }

  void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                 bool clear_setgid) override {
    volume_->set_xattr(ino, name, value, mode, clear_setgid);
  }
  std::optional<Bytes> get_xattr(Ino ino, std::string_view name) override {
    return volume_->get_xattr(ino, name);
  }
  std::vector<std::string> list_xattrs(Ino ino) override { return volume_->list_xattrs(ino); }
  void remove_xattr(Ino ino, std::string_view name) override { volume_->remove_xattr(ino, name); }

  FileSystemFigures statfs() override { return volume_->statfs(); }
  bool read_only() const override { return volume_->read_only(); }

  std::optional<AppliedRequest> applied_before(RequestId id) override {
    return volume_->applied_before(id);
  }
  void answered(RequestId id) override { volume_->answered(id); }
  void end_resume() override { volume_->end_resume(); }

 private:
  const std::shared_ptr<Volume> volume_;
};

}  // namespace varve
