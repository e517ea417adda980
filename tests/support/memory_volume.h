// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/volume.h"

namespace varve::test {

/// A file's bytes, holes left out, by pages.
class SparseBytes {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;
  using Page = std::array<std::byte, kPageBytes>;

  void write(std::uint64_t offset, ByteView data);
  void read(std::uint64_t offset, std::span<std::byte> out) const;
  void zero(std::uint64_t offset, std::uint64_t size);
  const std::map<std::uint64_t, Page>& pages() const { return pages_; }

 private:
  std::map<std::uint64_t, Page> pages_;  // by offset / kPageBytes
};

/// The contract of Volume in the plainest way, to compare a real one with: maps in memory, no
/// journal, no cache, no concurrency. A copy is a snapshot. Attributes::blocks is 0 and seek knows
/// no holes, because both depend on how data is stored. For one thread.
class MemoryVolume : public Volume {
 public:
  explicit MemoryVolume(std::function<Time()> clock);
  MemoryVolume(const MemoryVolume&) = default;
  MemoryVolume& operator=(const MemoryVolume&) = default;

  std::optional<Attributes> lookup(Ino parent, std::string_view name) override;
  void forget(Ino ino, std::uint64_t count) override;
  Attributes getattr(Ino ino) override;
  Attributes setattr(Ino ino, const SetAttributes& change, const Caller& caller) override;
  std::string readlink(Ino ino) override;
  Attributes make_node(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                       const Caller& caller) override;
  Attributes make_directory(Ino parent, std::string_view name, std::uint32_t mode,
                            const Caller& caller) override;
  Attributes make_symlink(Ino parent, std::string_view name, std::string_view target,
                          const Caller& caller) override;
  Attributes make_temporary(Ino parent, std::uint32_t mode, const Caller& caller) override;
  Attributes link(Ino ino, Ino new_parent, std::string_view new_name) override;
  void unlink(Ino parent, std::string_view name) override;
  void rmdir(Ino parent, std::string_view name) override;
  void rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
              RenameMode mode) override;
  /// Cookies are positions in the order of names: valid while nothing changes.
  void read_directory(Ino ino, std::uint64_t cookie, bool with_attributes,
                      const std::function<bool(const DirectoryEntry&)>& visit) override;
  std::size_t read(Ino ino, std::uint64_t offset, std::span<std::byte> out) override;
  void write(Ino ino, std::uint64_t offset, ByteView data, bool clear_setid) override;
  void allocate(Ino ino, AllocateMode mode, std::uint64_t offset, std::uint64_t size) override;
  std::uint64_t seek(Ino ino, std::uint64_t offset, SeekWhat what) override;
  std::uint64_t copy_range(Ino from, std::uint64_t from_offset, Ino to, std::uint64_t to_offset,
                           std::uint64_t size) override;
  void fsync(Ino) override {}
  void sync() override {}
  void set_xattr(Ino ino, std::string_view name, ByteView value, XattrMode mode,
                 bool clear_setgid) override;
  std::optional<Bytes> get_xattr(Ino ino, std::string_view name) override;
  std::vector<std::string> list_xattrs(Ino ino) override;
  void remove_xattr(Ino ino, std::string_view name) override;
  FileSystemFigures statfs() override { return {}; }
  bool read_only() const override { return read_only_; }
  /// Its changes die with the process, so there is nothing that an earlier one has applied.
  std::optional<AppliedRequest> applied_before(RequestId) override { return std::nullopt; }
  void answered(RequestId) override {}
  void end_resume() override {}

  // For tests.
  void set_read_only(bool read_only) { read_only_ = read_only; }
  /// The mount is gone.
  void drop_lookups();
  std::vector<Ino> inodes() const;  ///< orphans included
  std::uint64_t lookups(Ino ino) const;
  const SparseBytes& data(Ino ino) const { return inodes_.at(ino).data; }
  std::uint64_t next_ino() const { return next_ino_; }

 private:
  struct Inode {
    Attributes attributes;
    Ino parent{};  // of a directory
    std::map<std::string, Ino> entries;
    std::string target;
    SparseBytes data;
    std::map<std::string, Bytes> xattrs;
    std::uint64_t lookups = 0;
  };

  void check_writable() const;
  Inode& inode(Ino ino);
  Inode& directory(Ino ino);
  Inode& regular(Ino ino);
  Inode& new_name(Ino parent, std::string_view name);
  Inode& entry(Inode& directory, std::string_view name);
  Inode& make(Inode& parent, std::uint32_t mode, const Caller& caller);
  Attributes make_named(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                        std::string_view target, const Caller& caller);
  void insert(Inode& parent, std::string_view name, Inode& inode);
  void erase(Inode& parent, std::string_view name);
  void drop(Inode& inode);
  void free_if_unused(Inode& inode);
  bool is_within(Ino ino, Ino ancestor);
  void changed(Inode& inode, bool setid);
  static void clear_setid(Inode& inode);
  void set_size(Inode& inode, std::uint64_t size);

  std::function<Time()> clock_;
  std::map<Ino, Inode> inodes_;
  std::uint64_t next_ino_ = 2;
  bool read_only_ = false;
};

}  // namespace varve::test
