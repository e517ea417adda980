// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "fs/forwarding_volume.h"

namespace varve::test {

/// Another volume, with something that happens between the moment a change was made and the moment
/// that its caller hears of it. As safe to share between threads as that is.
class ObservedVolume : public ForwardingVolume {
 public:
  ObservedVolume(std::shared_ptr<Volume> volume, std::function<void()> after_change)
      : ForwardingVolume(std::move(volume)), after_change_(std::move(after_change)) {}

  Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) override {
    return after(ForwardingVolume::setattr(ino, change, caller));
  }
  Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                       const Caller& caller) override {
    return after(ForwardingVolume::make_node(parent, name, mode, rdev, caller));
  }
  Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                            const Caller& caller) override {
    return after(ForwardingVolume::make_directory(parent, name, mode, caller));
  }
  Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                          const Caller& caller) override {
    return after(ForwardingVolume::make_symlink(parent, name, target, caller));
  }
  Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) override {
    return after(ForwardingVolume::make_temporary(parent, mode, caller));
  }
  Attributes link(Ino ino, Ino new_parent, std::string_view new_name) override {
    return after(ForwardingVolume::link(ino, new_parent, new_name));
  }
  void unlink(Ino parent, std::string_view name) override {
    ForwardingVolume::unlink(parent, name);
    after_change_();
  }
  void rmdir(Ino parent, std::string_view name) override {
    ForwardingVolume::rmdir(parent, name);
    after_change_();
  }
  void rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
              RenameMode mode) override {
    ForwardingVolume::rename(parent, name, new_parent, new_name, mode);
    after_change_();
  }
  void write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) override {
    ForwardingVolume::write(ino, offset, data, clear_setid);
    after_change_();
  }
  void allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) override {
    ForwardingVolume::allocate(ino, mode, offset, size);
    after_change_();
  }
  std::uint64_t copy_range(Ino from, std::uint64_t from_offset, Ino to, std::uint64_t to_offset,
                           std::uint64_t size) override {
    return after(ForwardingVolume::copy_range(from, from_offset, to, to_offset, size));
  }
  void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                 bool clear_setgid) override {
    ForwardingVolume::set_xattr(ino, name, value, mode, clear_setgid);
    after_change_();
  }
  void remove_xattr(Ino ino, std::string_view name) override {
    ForwardingVolume::remove_xattr(ino, name);
    after_change_();
  }

 private:
  template <class Result>
  Result after(Result made) {
    after_change_();
    return made;
  }

  const std::function<void()> after_change_;
};

}  // namespace varve::test
