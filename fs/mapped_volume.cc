// SPDX-License-Identifier: Apache-2.0
#include "fs/mapped_volume.h"

#include <cerrno>
#include <utility>

#include "fs/acl.h"
#include "fs/forwarding_volume.h"
#include "store/base/error.h"

namespace varve {
namespace {

bool is_acl(std::string_view name) { return name == kAccessAclName || name == kDefaultAclName; }

/// An ACL's bytes with the ids of its named entries replaced by `replace(is_user, id)`.
template <class Replace>
Bytes with_ids(ByteView value, const Replace& replace) {
  std::optional<Acl> acl = Acl::parse(value);
  if (!acl) return Bytes(value.begin(), value.end());
  acl->replace_ids(replace);
  return acl->serialize();
}

class MappedVolume : public ForwardingVolume {
 public:
  MappedVolume(std::shared_ptr<Volume> volume, IdMapping mapping)
      : ForwardingVolume(std::move(volume)), mapping_(std::move(mapping)) {}

  std::optional<Attributes> lookup(Ino parent, std::string_view name) override {
    auto found = ForwardingVolume::lookup(parent, name);
    if (found) *found = shown(*found);
    return found;
  }
  Attributes getattr(Ino ino) override { return shown(ForwardingVolume::getattr(ino)); }
  Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) override {
    SetAttributes stored = change;
    if (mapping_.squash) {
      stored.uid.reset();
      stored.gid.reset();
    }
    if (stored.uid) stored.uid = or_throw(mapping_.users.stored(*stored.uid), EINVAL);
    if (stored.gid) stored.gid = or_throw(mapping_.groups.stored(*stored.gid), EINVAL);
    return shown(ForwardingVolume::setattr(ino, stored, of_any(caller)));
  }

  Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                       const Caller& caller) override {
    return shown(ForwardingVolume::make_node(parent, name, mode, rdev, of_creator(caller)));
  }
  Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                            const Caller& caller) override {
    return shown(ForwardingVolume::make_directory(parent, name, mode, of_creator(caller)));
  }
  Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                          const Caller& caller) override {
    return shown(ForwardingVolume::make_symlink(parent, name, target, of_creator(caller)));
  }
  Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) override {
    return shown(ForwardingVolume::make_temporary(parent, mode, of_creator(caller)));
  }
  Attributes link(Ino ino, Ino new_parent, std::string_view new_name) override {
    return shown(ForwardingVolume::link(ino, new_parent, new_name));
  }

  void read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                      const std::function<bool(const DirectoryEntry&)>& visit) override {
    ForwardingVolume::read_directory(ino, cookie, with_attributes,
                                     [&](const DirectoryEntry& entry) {
                                       if (entry.attributes == nullptr) return visit(entry);
                                       const Attributes attributes = shown(*entry.attributes);
                                       DirectoryEntry mapped = entry;
                                       mapped.attributes = &attributes;
                                       return visit(mapped);
                                     });
  }

  void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                 bool clear_setgid) override {
    if (!is_acl(name) || mapping_.squash)
      return ForwardingVolume::set_xattr(ino, name, value, mode, clear_setgid);
    const Bytes stored = with_ids(value, [&](bool is_user, std::uint32_t id) {
      return or_throw((is_user ? mapping_.users : mapping_.groups).stored(id), EINVAL);
    });
    ForwardingVolume::set_xattr(ino, name, stored, mode, clear_setgid);
  }
  std::optional<Bytes> get_xattr(Ino ino, std::string_view name) override {
    std::optional<Bytes> value = ForwardingVolume::get_xattr(ino, name);
    if (!value || !is_acl(name) || mapping_.squash) return value;
    return with_ids(*value, [&](bool is_user, std::uint32_t id) {
      return (is_user ? mapping_.users : mapping_.groups).shown(id);
    });
  }

 private:
  static std::uint32_t or_throw(std::optional<std::uint32_t> id, int code) {
    if (!id) throw PosixError(code);
    return *id;
  }

  Attributes shown(Attributes attributes) const {
    attributes.uid = mapping_.squash ? mapping_.squash->uid : mapping_.users.shown(attributes.uid);
    attributes.gid = mapping_.squash ? mapping_.squash->gid : mapping_.groups.shown(attributes.gid);
    return attributes;
  }

  Caller of_creator(Caller caller) const {
    if (mapping_.squash) {
      caller.uid = mapping_.squash->uid;
      caller.gid = mapping_.squash->gid;
      return caller;
    }
    caller.uid = or_throw(mapping_.users.stored(caller.uid), EOVERFLOW);
    caller.gid = or_throw(mapping_.groups.stored(caller.gid), EOVERFLOW);
    return caller;
  }

  /// One whose ids are not stored anywhere need not have any.
  Caller of_any(Caller caller) const {
    if (mapping_.squash) return of_creator(caller);
    caller.uid = mapping_.users.stored(caller.uid).value_or(IdMap::kOverflowId);
    caller.gid = mapping_.groups.stored(caller.gid).value_or(IdMap::kOverflowId);
    return caller;
  }

  const IdMapping mapping_;
};

}  // namespace

std::shared_ptr<Volume> with_mapping(std::shared_ptr<Volume> volume, const IdMapping& mapping) {
  if (mapping.empty()) return volume;
  return std::make_shared<MappedVolume>(std::move(volume), mapping);
}

}  // namespace varve
